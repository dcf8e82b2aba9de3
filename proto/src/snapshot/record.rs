//! One record of a policy and its 40 bytes.

use std::fmt;

use doorward_policy::{Scope, Sha256, SourceKey};
use sha2::Digest;

use super::Refusal;

/// What a record says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// A person denied the file.
    FileDeniedByPerson = 1,
    /// A person allowed the file.
    FileAllowedByPerson = 2,
    /// TI calls the file malicious.
    FileThreatMalicious = 3,
    /// TI calls the file suspicious.
    FileThreatSuspicious = 4,
    /// The profile's settings allowed the file.
    FileAllowedByRule = 5,
    /// The package is allowed by name.
    PackageAllowed = 16,
    /// The package is explicitly not allowed.
    PackageDenied = 17,
    /// The publisher is allowed by name.
    PublisherAllowed = 18,
    /// The publisher is explicitly not allowed.
    PublisherDenied = 19,
    /// The file belongs to the unblockable closure of some host of the profile.
    ClosureFile = 32,
}

impl RecordKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::FileDeniedByPerson,
            2 => Self::FileAllowedByPerson,
            3 => Self::FileThreatMalicious,
            4 => Self::FileThreatSuspicious,
            5 => Self::FileAllowedByRule,
            16 => Self::PackageAllowed,
            17 => Self::PackageDenied,
            18 => Self::PublisherAllowed,
            19 => Self::PublisherDenied,
            32 => Self::ClosureFile,
            _ => return None,
        })
    }

    /// Only threats carry a threat level.
    #[must_use]
    pub const fn is_threat(self) -> bool {
        matches!(self, Self::FileThreatMalicious | Self::FileThreatSuspicious)
    }
}

/// How far a record reaches. What holds on one host alone is never published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RecordScope {
    /// The profile the policy is for.
    Profile = 1,
    /// All profiles.
    Global = 2,
}

impl From<RecordScope> for Scope {
    fn from(scope: RecordScope) -> Self {
        match scope {
            RecordScope::Profile => Self::Profile,
            RecordScope::Global => Self::Global,
        }
    }
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    key: [u8; 32],
    kind: RecordKind,
    scope: RecordScope,
    /// 0..=5; only threats have one.
    threat_level: Option<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?} {} {:?}", self.kind, self.scope, Sha256::new(self.key), self.threat_level)
    }
}

/// The key of a source's records: SHA-256 of its preimage.
#[must_use]
pub fn source_record_key(source: &SourceKey) -> [u8; 32] {
    sha2::Sha256::digest(source.preimage()).into()
}

impl Record {
    /// Bytes of a record.
    pub const BYTES: usize = 40;
    /// Bytes of it that order it and name it in removals.
    pub(super) const KEY_BYTES: usize = 34;

    /// A record on a file; `kind` is one of those that speak of files.
    #[must_use]
    pub const fn file(file: &Sha256, kind: RecordKind, scope: RecordScope) -> Self {
        Self { key: *file.as_bytes(), kind, scope, threat_level: None }
    }

    /// A record on a file TI calls a threat, with the provider's threat level (0..=5, a higher one counts as 5) where it gave one.
    #[must_use]
    pub fn threat(file: &Sha256, malicious: bool, threat_level: Option<u8>, scope: RecordScope) -> Self {
        let kind = if malicious { RecordKind::FileThreatMalicious } else { RecordKind::FileThreatSuspicious };
        let threat_level = threat_level.map(|level| level.min(doorward_policy::reputation::FACTOR_MAX));
        Self { key: *file.as_bytes(), kind, scope, threat_level }
    }

    /// A record on a package or publisher; `kind` is one of those that speak of the source's sort.
    #[must_use]
    pub fn source(source: &SourceKey, kind: RecordKind, scope: RecordScope) -> Self {
        Self { key: source_record_key(source), kind, scope, threat_level: None }
    }

    /// A file's SHA-256, or [`source_record_key`].
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// What it says.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        self.kind
    }

    /// How far it reaches.
    #[must_use]
    pub const fn scope(&self) -> RecordScope {
        self.scope
    }

    /// 0..=5 where the provider gave one; threats only.
    #[must_use]
    pub const fn threat_level(&self) -> Option<u8> {
        self.threat_level
    }

    /// Key, kind, scope and flags. The first flag of a threat is its level plus one, 0 for none; all others are zero.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.key);
        bytes[32] = self.kind as u8;
        bytes[33] = self.scope as u8;
        bytes[34] = self.threat_level.map_or(0, |level| level + 1);
        bytes
    }

    /// Reads a record's bytes.
    ///
    /// # Errors
    /// [`Refusal::UnknownRecordKind`] for any byte this program has no meaning for.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, Refusal> {
        let unknown = Refusal::UnknownRecordKind(bytes[32]);
        let [key @ .., _, _, _, _, _, _, _, _] = *bytes;
        let [kind, scope, level, reserved @ ..] = *bytes.last_chunk::<8>().expect("a record is longer than 8 bytes");
        let kind = RecordKind::from_byte(kind).ok_or(unknown)?;
        let scope = match scope {
            1 => RecordScope::Profile,
            2 => RecordScope::Global,
            _ => return Err(unknown),
        };
        let threat_level = match level {
            0 => None,
            1..=6 if kind.is_threat() => Some(level - 1),
            _ => return Err(unknown),
        };
        if reserved != [0; 5] {
            return Err(unknown);
        }
        Ok(Self { key, kind, scope, threat_level })
    }
}
