//! Certificates for hosts, the first and every later one: signed by the CA, named by the CMS, 90 days.

use bytes::Bytes;
use doorward_policy::HostId;
use doorward_proto::certificate::{Authority, CertificateError, HOST_DAYS, Validity};
use x509_parser::prelude::FromDer;

use crate::store::Certificate;

/// A signed certificate: what the host gets and what the CMS remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// DER, leaf first.
    pub chain: Vec<Bytes>,
    /// Serial and end of the leaf.
    pub certificate: Certificate,
}

/// Signs a certificate for `host` with the request's public key; nothing else in the request counts.
///
/// # Errors
/// When the request is not one; the host's fault.
pub fn certify(authority: &Authority, request: &[u8], host: &HostId, now: i64) -> Result<Certified, CertificateError> {
    let chain = authority.sign_host(request, host, Validity::days(now, HOST_DAYS))?;
    let leaf = chain.first().ok_or(CertificateError::Making("a certificate"))?;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(leaf).map_err(|_| CertificateError::Making("a certificate"))?;
    let certificate = Certificate { serial: parsed.raw_serial().to_vec(), not_after: Validity::of(leaf)?.not_after };
    Ok(Certified { chain: chain.into_iter().map(Bytes::from).collect(), certificate })
}
