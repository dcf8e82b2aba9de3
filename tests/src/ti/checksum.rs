//! A file checksum as the provider's API names it: MD5, SHA-1 or SHA-256 in hex of either case.
//!
//! Small and `Copy`, because the tally keeps one for every distinct hash that was ever asked.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Serialize};

const LONGEST_BYTES: usize = 32;

/// The `hash_type` of a question, and the one key inside `query_hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChecksumKind {
    /// 32 hex digits.
    Md5,
    /// 40 hex digits.
    Sha1,
    /// 64 hex digits.
    Sha256,
}

impl ChecksumKind {
    /// The spelling in paths and bodies: `md5`, `sha1`, `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// Reads the spelling of [`name`](Self::name); the provider's other types (`sha512`, ...) are not part of TCA-0101.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha1, Self::Sha256].into_iter().find(|kind| kind.name() == name)
    }

    fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => LONGEST_BYTES,
        }
    }
}

/// A well-formed checksum; its kind follows from its length. Displays in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum {
    kind: ChecksumKind,
    /// Zero beyond the kind's length, so that equality may compare all of it.
    bytes: [u8; LONGEST_BYTES],
}

/// The text is no checksum; the caller decides whether that is a bad question or an `invalid_hashes` item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a checksum: expected 32, 40 or 64 hex digits")]
pub struct ChecksumError;

impl Checksum {
    /// Follows from the number of digits.
    pub fn kind(&self) -> ChecksumKind {
        self.kind
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let kind = [ChecksumKind::Md5, ChecksumKind::Sha1, ChecksumKind::Sha256]
            .into_iter()
            .find(|kind| kind.bytes() * 2 == text.len())
            .ok_or(ChecksumError)?;
        let decoded = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ChecksumError)?;
        let mut bytes = [0; LONGEST_BYTES];
        bytes[..decoded.len()].copy_from_slice(&decoded);
        Ok(Self { kind, bytes })
    }
}

impl TryFrom<String> for Checksum {
    type Error = ChecksumError;

    fn try_from(text: String) -> Result<Self, ChecksumError> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.bytes[..self.kind.bytes()]))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_make_another_checksum_and_length_decides_the_kind() {
        let lower: Checksum = "ab".repeat(32).parse().unwrap();
        let upper: Checksum = "AB".repeat(32).parse().unwrap();
        assert_eq!(lower, upper);
        assert_eq!(upper.to_string(), "ab".repeat(32));
        assert_eq!(lower.kind(), ChecksumKind::Sha256);
        assert_eq!("0".repeat(40).parse::<Checksum>().unwrap().kind(), ChecksumKind::Sha1);
        assert_eq!("0".repeat(32).parse::<Checksum>().unwrap().kind(), ChecksumKind::Md5);
    }

    #[test]
    fn what_is_not_hex_of_a_known_length_is_refused() {
        let too_long = "a".repeat(128);
        let multibyte = "é".repeat(32);
        for text in ["", "zz", "zz-not-hex", &"g".repeat(64), &too_long, &multibyte] {
            assert_eq!(text.parse::<Checksum>(), Err(ChecksumError), "{text}");
        }
    }
}
