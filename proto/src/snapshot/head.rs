//! What is signed: whose policy it is, which one, and what it must hash to.

use std::fmt;

use doorward_policy::{Blake3, Level, ProfileId, TrustRules};

/// Where a policy stands in its profile's history; a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Rises when the CMS starts a new line of revisions; compared first.
    pub epoch: u64,
    /// Rises within an epoch.
    pub revision: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {}.{}", self.epoch, self.revision)
    }
}

/// The signed facts of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whose policy it is.
    pub profile: ProfileId,
    /// See [`Position::epoch`].
    pub epoch: u64,
    /// See [`Position::revision`].
    pub revision: u64,
    /// Number of records.
    pub count: u64,
    /// What the records must hash to.
    pub root: Blake3,
    /// Which evidence counts.
    pub rules: TrustRules,
}

const DOMAIN: &[u8] = b"doorward/policy/v1\0";

impl Head {
    /// Bytes of [`Head::signed_bytes`].
    pub const SIGNED_BYTES: usize = DOMAIN.len() + 16 + 8 + 8 + 8 + 32 + 3;

    /// Where it stands in its profile's history.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, revision: self.revision }
    }

    /// What the signature covers: `"doorward/policy/v1\0"`, profile (16), epoch, revision, count (8 each, big-endian), root (32),
    /// level (1 database, 2 signed), allow new packages, allow new publishers (1 each, 0 or 1).
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::SIGNED_BYTES);
        bytes.extend_from_slice(DOMAIN);
        bytes.extend_from_slice(self.profile.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(self.root.as_bytes());
        bytes.push(level_byte(self.rules.package_level));
        bytes.push(self.rules.allow_new_packages.into());
        bytes.push(self.rules.allow_new_publishers.into());
        bytes
    }

    /// Reads [`Head::signed_bytes`] back; `None` for anything that no head is written as.
    pub(super) fn from_signed_bytes(bytes: &[u8; Self::SIGNED_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(DOMAIN)?;
        let (profile, rest) = rest.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (root, rest) = rest.split_first_chunk()?;
        let [level, packages, publishers] = *rest.first_chunk::<3>()?;
        Some(Self {
            profile: ProfileId::from_slice(profile)?,
            epoch: u64::from_be_bytes(*epoch),
            revision: u64::from_be_bytes(*revision),
            count: u64::from_be_bytes(*count),
            root: Blake3::new(*root),
            rules: TrustRules {
                package_level: level_of(level)?,
                allow_new_packages: flag_of(packages)?,
                allow_new_publishers: flag_of(publishers)?,
            },
        })
    }
}

const fn level_byte(level: Level) -> u8 {
    match level {
        Level::Database => 1,
        Level::Signed => 2,
    }
}

const fn level_of(byte: u8) -> Option<Level> {
    match byte {
        1 => Some(Level::Database),
        2 => Some(Level::Signed),
        _ => None,
    }
}

const fn flag_of(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// A head with the signature it came with, believed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedHead {
    /// What was signed.
    pub head: Head,
    /// Ed25519 over [`Head::signed_bytes`].
    pub signature: [u8; 64],
}
