//! The policy key: Ed25519, apart from the CA's key, so that whoever can enroll hosts cannot publish to them.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::{Head, Refusal, SignedHead};

/// Why a text is not a policy key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is no PEM with a PKCS#8 private key, or the key is not Ed25519.
    #[error("not an Ed25519 private key in PKCS#8 PEM: restore the policy key from a backup")]
    Malformed,
    /// The system gave no randomness.
    #[error("no policy key could be generated")]
    Generation,
}

/// Signs policies; only the CMS has one.
pub struct PolicySigner {
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for PolicySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySigner").finish_non_exhaustive()
    }
}

impl PolicySigner {
    /// Makes a new key from the system's randomness and gives its PKCS#8 PEM, which [`PolicySigner::from_pem`] reads.
    ///
    /// # Errors
    /// [`KeyError::Generation`].
    pub fn generate_pem() -> Result<String, KeyError> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(|_| KeyError::Generation)?;
        Ok(pair.serialize_pem())
    }

    /// Reads the key file.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Malformed)?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| KeyError::Malformed)?;
        Ok(Self { pair })
    }

    /// What hosts verify with.
    #[must_use]
    pub fn verifier(&self) -> PolicyVerifier {
        let key = self.pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        PolicyVerifier::new(key)
    }

    /// Signs a head.
    #[must_use]
    pub fn sign(&self, head: Head) -> SignedHead {
        let signature = self.pair.sign(&head.signed_bytes());
        SignedHead { head, signature: signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes") }
    }
}

/// The public half, as a host got it when it was enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyVerifier {
    key: [u8; 32],
}

impl PolicyVerifier {
    /// Takes the raw public key.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The raw public key.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Believes a head, or not.
    ///
    /// # Errors
    /// [`Refusal::WrongSignature`].
    pub fn verify(&self, signed: &SignedHead) -> Result<(), Refusal> {
        UnparsedPublicKey::new(&ED25519, self.key)
            .verify(&signed.head.signed_bytes(), &signed.signature)
            .map_err(|_| Refusal::WrongSignature)
    }
}
