//! How a host becomes known, in domain words; the rules for the certificates themselves are in [`crate::certificate`].

use std::fmt;

use bytes::Bytes;
use doorward_policy::{HostId, ProfileId};
use serde::{Deserialize, Serialize};

/// What a host says about itself: claims, shown to people and never used to identify.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// As `uname -n` gives it.
    pub host_name: String,
    /// `PRETTY_NAME` of os-release.
    pub operating_system: String,
    /// As `uname -r` gives it.
    pub kernel: String,
    /// As `uname -m` gives it.
    pub architecture: String,
    /// First 16 bytes of BLAKE3 of `/etc/machine-id`; `None` when the host has none.
    pub machine_id_hash: Option<[u8; 16]>,
}

/// A host asks to be enrolled. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollRequest {
    /// The token's secret part.
    pub token_secret: String,
    /// PKCS#10 request in DER; only its public key is used.
    pub certificate_request: Bytes,
    /// What the host says about itself.
    pub facts: HostFacts,
}

impl fmt::Debug for EnrollRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollRequest").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// The credentials of a new host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrollResponse {
    /// Minted by the CMS; also in the certificate.
    pub host_id: HostId,
    /// The host's certificate chain in DER, leaf first; never empty.
    pub certificate_chain: Vec<Bytes>,
    /// The CA certificate in DER that later connections are checked against. Its key hash must be the token's.
    pub ca_certificate: Bytes,
    /// Ed25519 public key that signs policies.
    pub policy_key: [u8; 32],
    /// The profile the token chose.
    pub profile_id: ProfileId,
    /// Its name, for people.
    pub profile_name: String,
}

/// A host asks for a fresh certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewRequest {
    /// PKCS#10 request in DER, of a new key.
    pub certificate_request: Bytes,
}

/// A fresh certificate with the same host id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewResponse {
    /// The host's certificate chain in DER, leaf first; never empty.
    pub certificate_chain: Vec<Bytes>,
}
