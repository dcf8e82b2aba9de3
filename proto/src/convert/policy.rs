//! Parts of a published policy. Only their shape is checked here; whether they are believed is [`crate::snapshot`]'s business.

use bytes::Bytes;
use doorward_policy::{Blake3, ProfileId, TrustRules};

use super::{ConvertError, Fault, field, word};
use crate::limit::{PART_BYTES_MAX, RECORDS_MAX, VERSION_RULES_BYTES_MAX};
use crate::snapshot::{Delta, Head, Part, REMOVAL_BYTES, Record, SignedHead};
use crate::v1;

impl TryFrom<v1::TrustRules> for TrustRules {
    type Error = ConvertError;

    fn try_from(message: v1::TrustRules) -> Result<Self, ConvertError> {
        Ok(Self {
            package_level: word::level("TrustRules.package_level", message.package_level)?,
            allow_new_packages: message.allow_new_packages,
            allow_new_publishers: message.allow_new_publishers,
        })
    }
}

impl From<TrustRules> for v1::TrustRules {
    fn from(rules: TrustRules) -> Self {
        Self {
            package_level: v1::Level::from(rules.package_level).into(),
            allow_new_packages: rules.allow_new_packages,
            allow_new_publishers: rules.allow_new_publishers,
        }
    }
}

impl TryFrom<v1::PolicyHead> for SignedHead {
    type Error = ConvertError;

    fn try_from(message: v1::PolicyHead) -> Result<Self, ConvertError> {
        let got = usize::try_from(message.count).unwrap_or(usize::MAX);
        if got > RECORDS_MAX {
            return Err(Fault::TooMany { max: RECORDS_MAX, got }.of("PolicyHead.count"));
        }
        let head = Head {
            profile: field::id("PolicyHead.profile_id", &message.profile_id, ProfileId::new)?,
            epoch: message.epoch,
            revision: message.revision,
            count: message.count,
            root: field::fixed("PolicyHead.root", &message.root, Blake3::new)?,
            rules: field::required("PolicyHead.rules", message.rules)?.try_into()?,
        };
        Ok(Self { head, signature: field::array("PolicyHead.signature", &message.signature)? })
    }
}

impl From<SignedHead> for v1::PolicyHead {
    fn from(signed: SignedHead) -> Self {
        Self {
            profile_id: Bytes::copy_from_slice(signed.head.profile.as_bytes()),
            epoch: signed.head.epoch,
            revision: signed.head.revision,
            count: signed.head.count,
            root: Bytes::copy_from_slice(signed.head.root.as_bytes()),
            rules: Some(signed.head.rules.into()),
            signature: Bytes::copy_from_slice(&signed.signature),
        }
    }
}

/// Bytes within a part's limit that are a whole number of elements.
fn whole(name: &'static str, bytes: Bytes, element: usize) -> Result<Bytes, ConvertError> {
    let bytes = field::blob(name, bytes, PART_BYTES_MAX)?;
    match bytes.len() % element {
        0 => Ok(bytes),
        rest => Err(Fault::WrongLength { expected: element, got: rest }.of(name)),
    }
}

impl TryFrom<v1::PolicySnapshot> for Part {
    type Error = ConvertError;

    fn try_from(message: v1::PolicySnapshot) -> Result<Self, ConvertError> {
        use v1::policy_snapshot::Part as Wire;
        Ok(match field::required("PolicySnapshot.part", message.part)? {
            Wire::Head(head) => Self::Head(head.try_into()?),
            Wire::VersionRules(bytes) => Self::VersionRules(field::blob("PolicySnapshot.version_rules", bytes, VERSION_RULES_BYTES_MAX)?),
            Wire::Records(bytes) => Self::Records(whole("PolicySnapshot.records", bytes, Record::BYTES)?),
            Wire::End(end) => Self::End { count: end.count },
        })
    }
}

impl From<Part> for v1::PolicySnapshot {
    fn from(part: Part) -> Self {
        use v1::policy_snapshot::Part as Wire;
        let part = match part {
            Part::Head(head) => Wire::Head(head.into()),
            Part::VersionRules(bytes) => Wire::VersionRules(bytes),
            Part::Records(bytes) => Wire::Records(bytes),
            Part::End { count } => Wire::End(v1::PolicySnapshotEnd { count }),
        };
        Self { part: Some(part) }
    }
}

impl TryFrom<v1::PolicyDelta> for Delta {
    type Error = ConvertError;

    fn try_from(message: v1::PolicyDelta) -> Result<Self, ConvertError> {
        Ok(Self {
            base_epoch: message.base_epoch,
            base_revision: message.base_revision,
            head: field::required("PolicyDelta.head", message.head)?.try_into()?,
            version_rules: message
                .version_rules
                .map(|bytes| field::blob("PolicyDelta.version_rules", bytes, VERSION_RULES_BYTES_MAX))
                .transpose()?,
            upserts: whole("PolicyDelta.upserts", message.upserts, Record::BYTES)?,
            removals: whole("PolicyDelta.removals", message.removals, REMOVAL_BYTES)?,
        })
    }
}

impl From<Delta> for v1::PolicyDelta {
    fn from(delta: Delta) -> Self {
        Self {
            base_epoch: delta.base_epoch,
            base_revision: delta.base_revision,
            head: Some(delta.head.into()),
            version_rules: delta.version_rules,
            upserts: delta.upserts,
            removals: delta.removals,
        }
    }
}
