//! Fingerprints of OpenPGP keys, by which repositories' and packagers' keys are named everywhere.

use std::fmt;
use std::str::FromStr;

/// Bytes of a version 4 key's fingerprint.
const SHORT_BYTES: usize = 20;

/// Bytes of a version 6 key's.
const LONG_BYTES: usize = 32;

/// The fingerprint of a primary key: 20 bytes of a version 4 key, 32 of a version 6 key. Shown as upper-case hexadecimal digits, as
/// GnuPG shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyFingerprint {
    /// Version 4.
    V4([u8; SHORT_BYTES]),
    /// Version 6.
    V6([u8; LONG_BYTES]),
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key's fingerprint: expected 40 or 64 hexadecimal digits")]
pub struct KeyFingerprintError;

impl KeyFingerprint {
    /// Takes raw bytes of unsure length; `None` unless it is one of the two.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self::V4).or_else(|_| bytes.try_into().map(Self::V6)).ok()
    }

    /// The raw bytes, for stores and wires.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl FromStr for KeyFingerprint {
    type Err = KeyFingerprintError;

    /// Blanks between the digits are as good as none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().filter(|byte| *byte != b' ').map(|byte| char::from(byte).to_digit(16));
        let digits = digits.take(2 * LONG_BYTES + 1).collect::<Option<Vec<u32>>>().ok_or(KeyFingerprintError)?;
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] << 4 | pair.get(1).unwrap_or(&0)) as u8).collect();
        if digits.len() % 2 == 0 { Self::from_slice(&bytes).ok_or(KeyFingerprintError) } else { Err(KeyFingerprintError) }
    }
}

crate::text::as_text!(KeyFingerprint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_shown_and_as_gnupg_groups_them() {
        let shown = "4CB50190207B4758A3F73A796ED0E7B82643E131";
        let fingerprint: KeyFingerprint = shown.parse().unwrap();
        assert_eq!(fingerprint.to_string(), shown);
        assert_eq!("4cb5 0190 207b 4758 a3f7  3a79 6ed0 e7b8 2643 e131".parse(), Ok(fingerprint));
        assert_eq!(KeyFingerprint::from_slice(&[7; 32]).unwrap().to_string().parse(), Ok(KeyFingerprint::V6([7; 32])));
        for text in ["", "4CB5", &shown[1..], "ZCB50190207B4758A3F73A796ED0E7B82643E131", &shown.repeat(9)] {
            assert_eq!(text.parse::<KeyFingerprint>(), Err(KeyFingerprintError), "{text}");
        }
    }
}
