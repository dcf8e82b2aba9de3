//! The `security.ima` attribute: a signature over a file's digest, kept beside the file.

use serde::{Deserialize, Serialize};

use super::digest::DigestAlgorithm;
use super::fault::{Fault, Part};

/// Bytes of the attribute that are read: a header and a signature of 8192 bits, and some.
pub const IMA_BYTES_MAX: usize = 2048;

/// `EVM_IMA_XATTR_DIGSIG`; plain digests and HMACs carry other numbers and nobody's word.
const DIGITAL_SIGNATURE: u8 = 3;

/// Second version of the header: the signature is over the digest. The third is over that of fs-verity.
const VERSION: u8 = 2;

/// A signature found in the attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImaSignature {
    /// Of the whole file.
    pub digest: DigestAlgorithm,
    /// Last four bytes of the signing key's identifier.
    pub key: [u8; 4],
    /// RSA with PKCS#1 v1.5 padding, or ECDSA, as the key has it.
    pub signature: Vec<u8>,
}

impl ImaSignature {
    /// Reads the attribute's value: kind, version and digest (1 byte each), key (4), length (2, big-endian), signature.
    ///
    /// # Errors
    /// [`Fault::Unsigned`] when it holds no signature.
    pub fn read(attribute: &[u8]) -> Result<Self, Fault> {
        let malformed = Fault::Malformed(Part::ImaAttribute);
        match attribute {
            [] => return Err(Fault::Unsigned),
            [DIGITAL_SIGNATURE, VERSION, ..] => {}
            [DIGITAL_SIGNATURE, ..] => return Err(Fault::Unsupported(Part::ImaAttribute)),
            _ => return Err(Fault::Unsigned),
        }
        let header = attribute.first_chunk::<9>().ok_or(malformed)?;
        // Numbers of the kernel's `enum hash_algo`.
        let digest = match header[2] {
            4 => DigestAlgorithm::Sha256,
            5 => DigestAlgorithm::Sha384,
            6 => DigestAlgorithm::Sha512,
            1 | 2 => return Err(Fault::Weak(Part::ImaAttribute)),
            _ => return Err(Fault::Unsupported(Part::ImaAttribute)),
        };
        let signature = attribute.get(9..).unwrap_or_default();
        if signature.is_empty() || signature.len() != usize::from(u16::from_be_bytes([header[7], header[8]])) {
            return Err(malformed);
        }
        Ok(Self { digest, key: [header[3], header[4], header[5], header[6]], signature: signature.to_vec() })
    }
}
