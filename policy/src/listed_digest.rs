//! What a package says a file of its own holds, in whichever algorithm it says so.

use std::fmt;

use crate::{Md5, Sha256};

/// Algorithms in which packages list their files' digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestAlgorithm {
    /// Broken: anybody can make two files with one digest. All that dpkg has.
    Md5,
    /// Broken in the same way, at a higher price.
    Sha1,
    /// Half of SHA-2.
    Sha224,
    /// What files are named by; computed for every file in any case.
    Sha256,
    /// Longer SHA-2.
    Sha384,
    /// Longer SHA-2.
    Sha512,
    /// SHA-3.
    Sha3_256,
    /// Longer SHA-3.
    Sha3_512,
}

impl DigestAlgorithm {
    /// Every algorithm, in the order in which stores number them; new ones go to the end.
    pub const ALL: [Self; 8] =
        [Self::Md5, Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512, Self::Sha3_256, Self::Sha3_512];

    /// Bytes in a whole digest of it.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Whether two files with one digest can be made today: such a digest is worth what stands behind it.
    #[must_use]
    pub const fn is_broken(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1)
    }
}

/// A digest that a package lists for a file. Of longer ones the first 32 bytes are kept: as many as name a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListedDigest {
    algorithm: DigestAlgorithm,
    bytes: [u8; Self::KEPT_BYTES],
}

impl ListedDigest {
    /// Bytes kept of any digest; shorter ones end in zeros.
    pub const KEPT_BYTES: usize = 32;

    /// Takes a whole digest; `None` when it has not as many bytes as the algorithm gives.
    #[must_use]
    pub fn new(algorithm: DigestAlgorithm, digest: &[u8]) -> Option<Self> {
        (digest.len() == algorithm.bytes()).then(|| Self::kept(algorithm, &digest[..digest.len().min(Self::KEPT_BYTES)]))
    }

    /// Reads the hexadecimal digits of a whole digest, of either case.
    #[must_use]
    pub fn from_hex(algorithm: DigestAlgorithm, digits: &[u8]) -> Option<Self> {
        if digits.len() != algorithm.bytes() * 2 {
            return None;
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = crate::digest::nibble(pair[0])? << 4 | crate::digest::nibble(pair[1])?;
        }
        Self::new(algorithm, &bytes[..algorithm.bytes()])
    }

    /// Takes what [`Self::kept_bytes`] gave, as stores hold it.
    #[must_use]
    pub const fn from_kept(algorithm: DigestAlgorithm, bytes: [u8; Self::KEPT_BYTES]) -> Self {
        Self { algorithm, bytes }
    }

    /// What it was made with.
    #[must_use]
    pub const fn algorithm(&self) -> DigestAlgorithm {
        self.algorithm
    }

    /// The bytes kept, for stores.
    #[must_use]
    pub const fn kept_bytes(&self) -> &[u8; Self::KEPT_BYTES] {
        &self.bytes
    }

    /// The MD5, if it is one.
    #[must_use]
    pub fn md5(&self) -> Option<Md5> {
        (self.algorithm == DigestAlgorithm::Md5).then(|| Md5::from_slice(&self.bytes[..Md5::LEN])).flatten()
    }

    fn kept(algorithm: DigestAlgorithm, digest: &[u8]) -> Self {
        let mut bytes = [0; Self::KEPT_BYTES];
        bytes[..digest.len()].copy_from_slice(digest);
        Self { algorithm, bytes }
    }
}

impl From<Md5> for ListedDigest {
    fn from(md5: Md5) -> Self {
        Self::kept(DigestAlgorithm::Md5, md5.as_bytes())
    }
}

impl From<Sha256> for ListedDigest {
    fn from(sha256: Sha256) -> Self {
        Self::kept(DigestAlgorithm::Sha256, sha256.as_bytes())
    }
}

impl fmt::Debug for ListedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:", self.algorithm)?;
        let shown = self.algorithm.bytes().min(Self::KEPT_BYTES);
        self.bytes[..shown].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_as_many_digits_as_its_algorithm_gives() {
        for algorithm in DigestAlgorithm::ALL {
            let digits = "aB".repeat(algorithm.bytes());
            let digest = ListedDigest::from_hex(algorithm, digits.as_bytes()).unwrap();
            assert_eq!(digest.kept_bytes()[0], 0xab);
            assert_eq!(ListedDigest::new(algorithm, &vec![0xab; algorithm.bytes()]), Some(digest));
            assert_eq!(ListedDigest::from_kept(algorithm, *digest.kept_bytes()), digest);
            assert_eq!(ListedDigest::from_hex(algorithm, &digits.as_bytes()[1..]), None);
            assert_eq!(ListedDigest::from_hex(algorithm, "x".repeat(digits.len()).as_bytes()), None);
        }
    }

    #[test]
    fn one_value_in_two_algorithms_is_two_digests() {
        let (one, other) = (DigestAlgorithm::Sha256, DigestAlgorithm::Sha3_256);
        assert_ne!(ListedDigest::new(one, &[7; 32]), ListedDigest::new(other, &[7; 32]));
        assert_eq!(ListedDigest::from(Md5::new([7; 16])).md5(), Some(Md5::new([7; 16])));
        assert_eq!(ListedDigest::new(one, &[7; 32]).unwrap().md5(), None);
    }
}
