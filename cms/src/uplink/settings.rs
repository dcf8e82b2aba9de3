//! The table `[uplink]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};

use doorward_proto::certificate::{CertificateError, check_server_names};
use serde::Deserialize;

/// Where hosts connect to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// DNS names and addresses hosts connect by; they stand in the server's certificate.
    pub names: Vec<String>,
    /// Most connections at once, those that are still shaking hands included.
    pub connections_max: usize,
    /// After how many seconds without a word a host counts as silent.
    pub silent_after_s: u32,
}

impl Settings {
    /// Whether a server can be run by them: hosts must be able to check whom they talk to.
    ///
    /// # Errors
    /// [`CertificateError::NoServerName`] and [`CertificateError::ServerName`].
    pub fn check(&self) -> Result<(), CertificateError> {
        check_server_names(&self.names)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)), names: Vec::new(), connections_max: 20_000, silent_after_s: 900 }
    }
}
