//! List entries that name some versions of a package only. A version does not fit a record's 40 bytes, so these travel beside the
//! records, under the same root: few, whole, and in one order.

use bytes::Bytes;
use doorward_policy::{SourceRule, VersionRange};

use super::{RecordKind, RecordScope, Refusal};
use crate::limit::{VERSION_RULES_BYTES_MAX, VERSION_RULES_MAX};

/// Bytes of a rule before its range: key (32), kind (1), scope (1), length of the range's text (2, big-endian).
const HEADER_BYTES: usize = 36;

/// A package's rule for some of its versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionRule {
    key: [u8; 32],
    kind: RecordKind,
    scope: RecordScope,
    versions: VersionRange,
}

impl VersionRule {
    /// A rule on the package with this key, see [`super::source_record_key`].
    #[must_use]
    pub const fn new(key: [u8; 32], denies: bool, scope: RecordScope, versions: VersionRange) -> Self {
        let kind = if denies { RecordKind::PackageDenied } else { RecordKind::PackageAllowed };
        Self { key, kind, scope, versions }
    }

    /// The package's key.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// As `policy` takes it.
    #[must_use]
    pub fn rule(&self) -> SourceRule<'_> {
        SourceRule {
            is_global: self.scope == RecordScope::Global,
            denies: self.kind == RecordKind::PackageDenied,
            versions: Some(&self.versions),
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let text = self.versions.to_string();
        let length = u16::try_from(text.len()).expect("a range is two versions of bounded length");
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&[self.kind as u8, self.scope as u8]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [key @ .., kind, scope, high, low] = *header;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        let kind = match kind {
            16 => RecordKind::PackageAllowed,
            17 => RecordKind::PackageDenied,
            _ => return None,
        };
        let scope = match scope {
            1 => RecordScope::Profile,
            2 => RecordScope::Global,
            _ => return None,
        };
        let text = str::from_utf8(text).ok()?;
        let versions: VersionRange = text.parse().ok()?;
        // One range is written in one way only; anything else has another meaning to somebody.
        (versions.to_string() == text).then_some((Self { key, kind, scope, versions }, rest))
    }
}

/// All of a policy's, rising strictly, with the bytes they stand in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionRules {
    rules: Vec<VersionRule>,
    bytes: Bytes,
}

impl VersionRules {
    /// Puts rules in order, each once.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] for more than [`VERSION_RULES_MAX`], or more bytes than [`VERSION_RULES_BYTES_MAX`].
    pub fn new(rules: impl IntoIterator<Item = VersionRule>) -> Result<Self, Refusal> {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_unstable();
        rules.dedup();
        let mut bytes = Vec::new();
        rules.iter().for_each(|rule| rule.write(&mut bytes));
        if rules.len() > VERSION_RULES_MAX || bytes.len() > VERSION_RULES_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        Ok(Self { rules, bytes: bytes.into() })
    }

    /// Reads them as they were sent or written.
    ///
    /// # Errors
    /// [`Refusal::UnknownVersionRule`] for any byte this program has no meaning for, [`Refusal::Unsorted`], [`Refusal::TooLarge`].
    pub fn read(bytes: &Bytes) -> Result<Self, Refusal> {
        if bytes.len() > VERSION_RULES_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let (mut rules, mut rest): (Vec<VersionRule>, _) = (Vec::new(), &**bytes);
        while !rest.is_empty() {
            let (rule, after) = VersionRule::read(rest).ok_or(Refusal::UnknownVersionRule)?;
            if rules.last().is_some_and(|last| *last >= rule) {
                return Err(Refusal::Unsorted);
            }
            if rules.len() == VERSION_RULES_MAX {
                return Err(Refusal::TooLarge);
            }
            rules.push(rule);
            rest = after;
        }
        Ok(Self { rules, bytes: bytes.clone() })
    }

    /// As they are sent.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Those on one package.
    pub fn of(&self, key: &[u8; 32]) -> impl Iterator<Item = &VersionRule> {
        let start = self.rules.partition_point(|rule| rule.key < *key);
        self.rules[start..].iter().take_while(move |rule| rule.key == *key)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &VersionRule> {
        self.rules.iter()
    }
}
