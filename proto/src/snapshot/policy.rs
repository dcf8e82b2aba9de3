//! A policy in memory: records that rise strictly, under a head that matches them.

use bytes::Bytes;
use doorward_policy::{ProfileId, TrustRules};

use super::root::root;
use super::{Head, Part, PolicySigner, Position, Record, Refusal, SignedHead, VersionRules};
use crate::limit::{PART_BYTES_MAX, RECORDS_MAX};

/// A record as it stands in memory, on the wire and in the file.
pub(super) type RecordBytes = [u8; Record::BYTES];

/// Records of one part at most.
const PART_RECORDS_MAX: usize = PART_BYTES_MAX / Record::BYTES;

/// A whole policy. Cloning copies every record: share it behind an `Arc`.
#[derive(Clone, PartialEq, Eq)]
pub struct Policy {
    signed: SignedHead,
    version_rules: VersionRules,
    records: Vec<RecordBytes>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("head", &self.signed.head).finish_non_exhaustive()
    }
}

impl Policy {
    /// The policy before any was published: no record, position 0.0, not signed. It is older than every published one.
    #[must_use]
    pub fn empty(profile: ProfileId, rules: TrustRules) -> Self {
        let head = Head { profile, epoch: 0, revision: 0, count: 0, root: root(&[], &[]), rules };
        Self { signed: SignedHead { head, signature: [0; 64] }, version_rules: VersionRules::default(), records: Vec::new() }
    }

    /// Makes and signs a policy from records in any order. Of records with equal key, kind and scope one with the highest threat
    /// level stays.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] for more than [`RECORDS_MAX`] records.
    pub fn publish(
        profile: ProfileId,
        position: Position,
        rules: TrustRules,
        records: impl IntoIterator<Item = Record>,
        signer: &PolicySigner,
    ) -> Result<Self, Refusal> {
        Self::publish_with(profile, position, rules, VersionRules::default(), records, signer)
    }

    /// As [`Policy::publish`], with rules on some versions of packages.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] for more than [`RECORDS_MAX`] records.
    pub fn publish_with(
        profile: ProfileId,
        position: Position,
        rules: TrustRules,
        version_rules: VersionRules,
        records: impl IntoIterator<Item = Record>,
        signer: &PolicySigner,
    ) -> Result<Self, Refusal> {
        let mut records: Vec<_> = records.into_iter().map(|record| record.to_bytes()).collect();
        records.sort_unstable_by(|a, b| key(a).cmp(key(b)).then_with(|| b.cmp(a)));
        records.dedup_by(|later, earlier| key(later) == key(earlier));
        if records.len() > RECORDS_MAX {
            return Err(Refusal::TooLarge);
        }
        let Position { epoch, revision } = position;
        let head = Head { profile, epoch, revision, count: records.len() as u64, root: root(&records, version_rules.bytes()), rules };
        Ok(Self { signed: signer.sign(head), version_rules, records })
    }

    /// Takes version rules and records for the head's, if they are. The caller has verified the head's signature.
    pub(super) fn from_believed(signed: SignedHead, version_rules: VersionRules, records: Vec<RecordBytes>) -> Result<Self, Refusal> {
        let got = records.len() as u64;
        match got.cmp(&signed.head.count) {
            std::cmp::Ordering::Less => return Err(Refusal::Short { expected: signed.head.count, got }),
            std::cmp::Ordering::Greater => return Err(Refusal::Surplus { expected: signed.head.count }),
            std::cmp::Ordering::Equal => {}
        }
        if root(&records, version_rules.bytes()) != signed.head.root {
            return Err(Refusal::WrongRoot);
        }
        Ok(Self { signed, version_rules, records })
    }

    /// The facts that were signed.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.signed.head
    }

    /// The head with its signature.
    #[must_use]
    pub const fn signed_head(&self) -> &SignedHead {
        &self.signed
    }

    /// Which evidence counts.
    #[must_use]
    pub const fn rules(&self) -> &TrustRules {
        &self.signed.head.rules
    }

    /// Rules on some versions of packages.
    #[must_use]
    pub const fn version_rules(&self) -> &VersionRules {
        &self.version_rules
    }

    /// Every record, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record> {
        self.records.iter().map(known)
    }

    /// The records of one key, in order.
    pub fn records_of(&self, record_key: &[u8; 32]) -> impl Iterator<Item = Record> {
        let start = self.records.partition_point(|record| record[..32] < record_key[..]);
        self.records[start..].iter().take_while(move |record| record[..32] == record_key[..]).map(known)
    }

    /// The policy as it is sent: head, version rules where there are any, records in parts of at most [`PART_BYTES_MAX`], end.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let records = self.records.chunks(PART_RECORDS_MAX).map(|chunk| Part::Records(Bytes::copy_from_slice(chunk.as_flattened())));
        let end = Part::End { count: self.signed.head.count };
        let version_rules = Some(self.version_rules.bytes().clone()).filter(|bytes| !bytes.is_empty()).map(Part::VersionRules);
        std::iter::once(Part::Head(self.signed)).chain(version_rules).chain(records).chain(std::iter::once(end))
    }

    pub(super) fn record_bytes(&self) -> &[RecordBytes] {
        &self.records
    }
}

fn known(bytes: &RecordBytes) -> Record {
    Record::from_bytes(bytes).expect("records are read before they get into a policy")
}

/// What orders a record and names it in removals.
pub(super) fn key(record: &RecordBytes) -> &[u8] {
    &record[..Record::KEY_BYTES]
}

/// Reads records that must be known and rise strictly, after `last`.
pub(super) fn read_rising(bytes: &[u8], mut last: Option<RecordBytes>, mut take: impl FnMut(RecordBytes)) -> Result<(), Refusal> {
    let (records, rest) = bytes.as_chunks::<{ Record::BYTES }>();
    if !rest.is_empty() {
        return Err(Refusal::Unsorted);
    }
    for record in records {
        Record::from_bytes(record)?;
        if last.is_some_and(|last| key(&last) >= key(record)) {
            return Err(Refusal::Unsorted);
        }
        take(*record);
        last = Some(*record);
    }
    Ok(())
}
