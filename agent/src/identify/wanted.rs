//! A digest in the algorithm in which some package lists it, in the making.

use doorward_policy::{DigestAlgorithm, ListedDigest, Md5};
use sha2::digest::{Digest, DynDigest};

/// Bytes of the longest digest there is.
const DIGEST_BYTES_MAX: usize = 64;

/// Takes bytes as they are read.
pub(crate) enum WantedDigest {
    /// Apart from the others for its speed; see [`super::digest`].
    Md5(fast_md5::Md5),
    Other(DigestAlgorithm, Box<dyn DynDigest + Send>),
}

impl WantedDigest {
    pub(crate) fn new(algorithm: DigestAlgorithm) -> Self {
        match algorithm {
            DigestAlgorithm::Md5 => Self::Md5(fast_md5::Md5::new()),
            DigestAlgorithm::Sha1 => Self::of::<sha1::Sha1>(algorithm),
            DigestAlgorithm::Sha224 => Self::of::<sha2::Sha224>(algorithm),
            DigestAlgorithm::Sha256 => Self::of::<sha2::Sha256>(algorithm),
            DigestAlgorithm::Sha384 => Self::of::<sha2::Sha384>(algorithm),
            DigestAlgorithm::Sha512 => Self::of::<sha2::Sha512>(algorithm),
            DigestAlgorithm::Sha3_256 => Self::of::<sha3::Sha3_256>(algorithm),
            DigestAlgorithm::Sha3_512 => Self::of::<sha3::Sha3_512>(algorithm),
        }
    }

    fn of<D: Digest + DynDigest + Send + 'static>(algorithm: DigestAlgorithm) -> Self {
        Self::Other(algorithm, Box::new(<D as Digest>::new()))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(md5) => md5.update(bytes),
            Self::Other(_, digest) => digest.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> ListedDigest {
        match self {
            Self::Md5(md5) => Md5::new(md5.finalize()).into(),
            Self::Other(algorithm, mut digest) => {
                let mut bytes = [0; DIGEST_BYTES_MAX];
                let bytes = &mut bytes[..algorithm.bytes()];
                digest.finalize_into_reset(bytes).expect("an algorithm gives as many bytes as it does");
                ListedDigest::new(algorithm, bytes).expect("an algorithm gives as many bytes as it does")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_gives_what_its_standard_says_of_abc() {
        let known = [
            (DigestAlgorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (DigestAlgorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (DigestAlgorithm::Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            (DigestAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (DigestAlgorithm::Sha384, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"),
            (
                DigestAlgorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (DigestAlgorithm::Sha3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            (
                DigestAlgorithm::Sha3_512,
                "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
            ),
        ];
        assert_eq!(known.map(|(algorithm, _)| algorithm), DigestAlgorithm::ALL);
        for (algorithm, digits) in known {
            let mut wanted = WantedDigest::new(algorithm);
            wanted.update(b"a");
            wanted.update(b"bc");
            assert_eq!(Some(wanted.finish()), ListedDigest::from_hex(algorithm, digits.as_bytes()));
        }
    }
}
