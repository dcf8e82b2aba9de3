//! Digests that signatures are made over.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::oid;

/// Digests that still prove something. MD5, SHA-1 and whatever is unknown have no member here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestAlgorithm {
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl DigestAlgorithm {
    /// From the weakest to the strongest.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    pub(super) fn of(oid: &[u8]) -> Option<Self> {
        match oid {
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The digest of bytes that are all there.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

/// Whether an object identifier names a digest that proves nothing any more.
pub(super) fn is_weak(oid: &[u8]) -> bool {
    matches!(oid, oid::MD5 | oid::SHA1 | oid::MD5_RSA | oid::SHA1_RSA | oid::SHA1_ECDSA)
}

/// Several digests over the same bytes, taken in one pass.
#[derive(Default)]
pub(super) struct Digester {
    sha256: Option<Sha256>,
    sha384: Option<Sha384>,
    sha512: Option<Sha512>,
}

/// What a [`Digester`] came to.
#[derive(Debug, Default)]
pub(super) struct DigestSet(Vec<(DigestAlgorithm, Vec<u8>)>);

impl Digester {
    pub(super) fn new(algorithms: impl IntoIterator<Item = DigestAlgorithm>) -> Self {
        let mut digester = Self::default();
        for algorithm in algorithms {
            match algorithm {
                DigestAlgorithm::Sha256 => {
                    digester.sha256.get_or_insert_default();
                }
                DigestAlgorithm::Sha384 => {
                    digester.sha384.get_or_insert_default();
                }
                DigestAlgorithm::Sha512 => {
                    digester.sha512.get_or_insert_default();
                }
            }
        }
        digester
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.sha256 {
            digest.update(bytes);
        }
        if let Some(digest) = &mut self.sha384 {
            digest.update(bytes);
        }
        if let Some(digest) = &mut self.sha512 {
            digest.update(bytes);
        }
    }

    pub(super) fn finish(self) -> DigestSet {
        let sha256 = self.sha256.map(|digest| (DigestAlgorithm::Sha256, digest.finalize().to_vec()));
        let sha384 = self.sha384.map(|digest| (DigestAlgorithm::Sha384, digest.finalize().to_vec()));
        let sha512 = self.sha512.map(|digest| (DigestAlgorithm::Sha512, digest.finalize().to_vec()));
        DigestSet([sha256, sha384, sha512].into_iter().flatten().collect())
    }
}

impl DigestSet {
    pub(super) fn of(&self, algorithm: DigestAlgorithm) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == algorithm).map(|(_, digest)| digest.as_slice())
    }
}
