//! Who a certificate names: the one place where a host's identity is read.

use doorward_policy::HostId;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::CertificateError;

const HOST_NAME_PREFIX: &str = "urn:uuid:";

/// The name a host's certificate carries.
pub(super) fn host_name(host: &HostId) -> String {
    format!("{HOST_NAME_PREFIX}{host}")
}

/// Parses one certificate with nothing after it.
pub(super) fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(CertificateError::Malformed("certificate")),
    }
}

/// The host a certificate (DER) names. Says nothing about who signed it: call it only with a certificate TLS has verified.
///
/// # Errors
/// [`CertificateError::NotAHost`] unless the certificate is for client use only and has exactly one name, `urn:uuid:` and the id in
/// lower case; [`CertificateError::Malformed`].
pub fn host_id_of(certificate: &[u8]) -> Result<HostId, CertificateError> {
    let certificate = parse(certificate)?;
    let usage = certificate.extended_key_usage().map_err(|_| CertificateError::NotAHost)?;
    let client_only = usage.is_some_and(|usage| {
        let usage = usage.value;
        usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty()
    });
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::NotAHost)?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let [GeneralName::URI(name)] = names else {
        return Err(CertificateError::NotAHost);
    };
    let host: Option<HostId> = name.strip_prefix(HOST_NAME_PREFIX).and_then(|id| id.parse().ok());
    // The text must be the one canonical form, so that no two texts name one host.
    host.filter(|host| client_only && host_name(host) == *name).ok_or(CertificateError::NotAHost)
}

/// What an enrollment token pins: SHA-256 of the certificate's `SubjectPublicKeyInfo` in DER.
///
/// # Errors
/// [`CertificateError::Malformed`].
pub fn ca_key_hash(certificate: &[u8]) -> Result<[u8; 32], CertificateError> {
    Ok(Sha256::digest(parse(certificate)?.public_key().raw).into())
}
