//! Certificates as text, for files.

use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::CertificateError;
use crate::limit::CHAIN_CERTIFICATES_MAX;

const LINE_CHARS: usize = 64;

/// Writes certificates (DER) one after the other.
#[must_use]
pub fn chain_to_pem(chain: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut text = String::new();
    for certificate in chain {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = BASE64.encode(certificate.as_ref());
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(LINE_CHARS));
            text.push_str(&rest);
            text.push('\n');
            rest = later;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Reads certificates to DER, in order; at least one and at most [`CHAIN_CERTIFICATES_MAX`].
///
/// # Errors
/// [`CertificateError::Malformed`].
pub fn chain_from_pem(text: &str) -> Result<Vec<Vec<u8>>, CertificateError> {
    let malformed = CertificateError::Malformed("certificate file");
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .take(CHAIN_CERTIFICATES_MAX + 1)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| malformed.clone())?;
    if chain.is_empty() || chain.len() > CHAIN_CERTIFICATES_MAX { Err(malformed) } else { Ok(chain) }
}
