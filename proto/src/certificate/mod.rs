//! The rules for certificates that both sides share. The CA signs two sorts and no other: a host's (client use only, its one name is
//! `urn:uuid:` and the host id) and the CMS's (server use only, DNS names and addresses). Every name is the CMS's choice; of a request
//! only the public key is used. Keys are ECDSA P-256. Time is a parameter; keys come from the system's randomness. What TLS makes of it
//! is in [`crate::tls`].

mod authority;
mod key;
mod name;
mod pem;
mod validity;

pub use authority::{Authority, AuthorityPem, ServerCredential, check_server_names};
pub use key::HostKey;
pub use name::{ca_key_hash, host_id_of};
pub use pem::{chain_from_pem, chain_to_pem};
pub use validity::{CA_DAYS, HOST_DAYS, SERVER_DAYS, Validity};

/// Why a certificate, request or key was refused or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not the DER or PEM it was taken for.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The request is not signed with the key it asks a certificate for.
    #[error("the certificate request is not signed with its own key")]
    RequestSignature,
    /// The request's key is not ECDSA P-256.
    #[error("the certificate request's key is not ECDSA P-256")]
    KeyAlgorithm,
    /// The certificate is no host's: wrong use, or its only name is not `urn:uuid:` and an id.
    #[error("not a host's certificate")]
    NotAHost,
    /// The key file does not belong to the certificate file.
    #[error("the key does not belong to the certificate: restore both from the same backup")]
    KeyMismatch,
    /// A name a server certificate cannot carry.
    #[error("{0:?} is neither a DNS name nor an address")]
    ServerName(String),
    /// A server certificate needs a name.
    #[error("no name to put into the server certificate")]
    NoServerName,
    /// The library could not make it: no randomness, or a name it cannot encode.
    #[error("could not make {0}")]
    Making(&'static str),
}
