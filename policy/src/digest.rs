//! Fixed-size digests as values: parsed from and shown as lower-case hexadecimal, never computed here.
//! SHA-256 names a file everywhere; the others only help to find, compare or look it up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the digest it was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {name} digest: expected {expected} hexadecimal digits, got {got} characters")]
pub struct DigestError {
    /// The algorithm asked for, as people write it.
    pub name: &'static str,
    /// Digits the algorithm's digest has.
    pub expected: usize,
    /// Characters that were there (equal to `expected` when one of them is not a hexadecimal digit).
    pub got: usize,
}

pub(crate) const fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

macro_rules! digest {
    ($(#[$doc:meta])* $type:ident, $len:literal, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; $len]);

        impl $type {
            /// Bytes in a digest of this algorithm.
            pub const LEN: usize = $len;

            /// Takes raw digest bytes in the order the algorithm writes them.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Takes raw bytes of unsure length, as they arrive from a wire or a row; `None` unless it is exactly [`Self::LEN`].
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Reads hexadecimal digits of either case from bytes that need not be UTF-8.
            #[must_use]
            pub fn from_hex(text: &[u8]) -> Option<Self> {
                parse_hex(text).map(Self)
            }

            /// The raw bytes, for stores and wires.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{self}", $name)
            }
        }

        impl FromStr for $type {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                Self::from_hex(text.as_bytes()).ok_or(DigestError {
                    name: $name,
                    expected: $len * 2,
                    got: text.chars().count(),
                })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest!(
    /// The name of a file: two paths with one SHA-256 are one file.
    Sha256, 32, "sha256"
);
digest!(
    /// Kept only to correlate with providers and feeds that key by it; never proof of anything.
    Sha1, 20, "sha1"
);
digest!(
    /// What dpkg's own lists hold; compared with those lists and never used as a file's name.
    Md5, 16, "md5"
);
digest!(
    /// Proves "unchanged" when only the change time moved, and chains snapshots and the audit log.
    Blake3, 32, "blake3"
);

impl Sha256 {
    /// The digest of no bytes at all: never looked up, since it says nothing and costs quota.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
        0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// Which of the 256 policy buckets the file falls into: its first byte.
    #[must_use]
    pub const fn bucket(&self) -> u8 {
        self.0[0]
    }
}
