//! TLS between hosts and the CMS: 1.3 only, ALPN `h2`, no resumption, one CA. The server takes connections without a client certificate,
//! because a first contact has none: whoever serves `Uplink` must ask [`peer_host`] and refuse `None` as UNAUTHENTICATED. With TLS 1.3
//! a host learns of a refused certificate from its first call, not from the handshake.

use std::sync::Arc;

use doorward_policy::HostId;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificate::{CertificateError, host_id_of};

mod identity;
mod pin;
mod time;

pub use identity::{Identity, ServerIdentity};
pub use time::Now;

use pin::PinnedCa;

const ALPN_H2: &[u8] = b"h2";

/// Why no TLS configuration came to be: a credential file that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA certificate cannot be a trust anchor.
    #[error("the CA certificate is unusable")]
    Ca(#[source] rustls::Error),
    /// The chain or key is malformed, or they do not belong together.
    #[error("the certificate or key is unusable")]
    Identity(#[source] rustls::Error),
    /// The key file holds no key.
    #[error("the key file is malformed")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// The certificate file holds no certificates.
    #[error("the certificate file is malformed")]
    Certificate(#[from] CertificateError),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(ca: &[u8]) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca))?;
    Ok(Arc::new(roots))
}

/// For the CMS. `ca` (DER) is the only one whose client certificates are taken; a certificate of any other, or out of date, or for
/// server use, fails the handshake.
///
/// # Errors
/// [`TlsError::Ca`].
pub fn server_config(identity: Arc<ServerIdentity>, ca: &[u8], now: Now) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca).map_err(TlsError::Ca)?, provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Ca(rustls::Error::General(error.to_string())))?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(now))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // SECURITY: a resumed session carries the certificate of the first one without looking at it again, however old it is by then.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// For an enrolled host: shows its certificate, and takes only a server certificate of `ca` (DER) for the name it connects to.
///
/// # Errors
/// [`TlsError::Ca`], [`TlsError::Identity`].
pub fn client_config(identity: Identity, ca: &[u8], now: Now) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca).map_err(TlsError::Ca)?, provider.clone())
        .build()
        .map_err(|error| TlsError::Ca(rustls::Error::General(error.to_string())))?;
    let config = ClientConfig::builder_with_details(provider, Arc::new(now))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(identity.chain, identity.key)
        .map_err(TlsError::Identity)?;
    Ok(finish(config))
}

/// For a first contact: shows no certificate, and takes only a server whose chain contains the CA with this key hash and is valid up to
/// it for the name it connects to. The hash is the token's.
#[must_use]
pub fn pinned_client_config(ca_key_hash: [u8; 32], now: Now) -> ClientConfig {
    let provider = provider();
    let verifier = PinnedCa::new(ca_key_hash, provider.clone());
    let config = ClientConfig::builder_with_details(provider, Arc::new(now))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    finish(config)
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// The host at the other end of a connection, by the certificates TLS verified; `None` when it showed none.
///
/// # Errors
/// [`CertificateError`] when the CA signed something that names no host.
pub fn peer_host(certificates: Option<&[CertificateDer<'_>]>) -> Result<Option<HostId>, CertificateError> {
    certificates.and_then(<[_]>::first).map(|leaf| host_id_of(leaf)).transpose()
}
