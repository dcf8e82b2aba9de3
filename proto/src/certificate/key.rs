//! A host's own key, made on the host and never leaving it, and the request that goes out instead.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::FromDer;

use super::CertificateError;

/// A new key with the request for its certificate.
pub struct HostKey {
    pem: String,
    request: Vec<u8>,
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostKey").finish_non_exhaustive()
    }
}

impl HostKey {
    /// Makes a key from the system's randomness.
    ///
    /// # Errors
    /// [`CertificateError::Making`].
    pub fn generate() -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| CertificateError::Making("a host key"))?;
        let mut params = CertificateParams::default();
        // The CMS chooses every name, so the request carries none.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(|_| CertificateError::Making("a certificate request"))?;
        Ok(Self { pem: key.serialize_pem(), request: request.der().to_vec() })
    }

    /// The private key as PKCS#8 PEM, for a file only its owner can read.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.pem
    }

    /// The PKCS#10 request in DER, for the CMS.
    #[must_use]
    pub fn request_der(&self) -> &[u8] {
        &self.request
    }
}

/// The public key of a request that proves to have its private half. Everything else in the request is ignored.
pub(super) fn requested_key(request: &[u8]) -> Result<SubjectPublicKeyInfo, CertificateError> {
    let Ok(([], request)) = X509CertificationRequest::from_der(request) else {
        return Err(CertificateError::Malformed("certificate request"));
    };
    let key = &request.certification_request_info.subject_pki;
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return Err(CertificateError::KeyAlgorithm);
    }
    request.verify_signature().map_err(|_| CertificateError::RequestSignature)?;
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| CertificateError::KeyAlgorithm)
}
