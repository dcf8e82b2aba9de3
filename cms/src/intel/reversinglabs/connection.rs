//! The HTTPS client: who is trusted, which way out is taken, how long anything may take.
//!
//! SECURITY: certificates are always checked, redirects are never followed (they would carry the credentials elsewhere), and
//! proxy variables of the environment are ignored (a unit file's leftovers must not send checksums through a stranger).

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, NoProxy, Proxy, Url};

use base64::Engine as _;

use crate::intel::secret::Secret;

/// Largest CA file read, in bytes; a whole system bundle has about 250 KiB.
const CA_FILE_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Idle connections kept for each host.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// What a connection is made with. Validated where [`crate::intel::Settings`] is.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Account, often `u/company/user`.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// PEM file with CAs to trust beside the system's, or instead of them.
    pub ca_file: Option<PathBuf>,
    /// Trust the CAs of `ca_file` alone.
    pub ca_only: bool,
    /// The way out, when it is not direct.
    pub proxy: Option<ProxySettings>,
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// For a whole request with its answer.
    pub request_timeout: Duration,
}

/// An HTTP proxy that is asked to CONNECT.
#[derive(Debug, Clone)]
pub struct ProxySettings {
    /// `http://` or `https://` with host and port, without credentials.
    pub url: Url,
    /// Sent as Basic authentication.
    pub credentials: Option<(String, Secret)>,
    /// Hosts, domains and address ranges that are asked directly.
    pub no_proxy: Vec<String>,
}

/// Why no client can be made. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A wrong path or wrong permissions.
    #[error("cannot read the CA file {path}: {source}; check [intel] ca_file", path = path.display())]
    CaUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No certificate in it, a damaged one, or far too much.
    #[error("{path} is not a PEM file with CA certificates; check [intel] ca_file", path = path.display())]
    CaFormat {
        /// The file.
        path: PathBuf,
    },
    /// `ca_only` without CAs would trust nobody.
    #[error("[intel] ca_only needs ca_file")]
    CaMissing,
    /// A user or password that cannot stand in a header.
    #[error("[intel] user or password has characters no HTTP header can carry")]
    Credentials,
    /// The HTTP library refused the settings.
    #[error("cannot prepare HTTPS: {0}")]
    Client(#[source] reqwest::Error),
}

impl Connection {
    /// Builds the client. Reads the CA file; sends nothing yet.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn client(&self) -> Result<Client, ConnectionError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization()?);
        let builder = Client::builder()
            .https_only(true)
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .user_agent(concat!("doorward-cms/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(self.connect_timeout)
            .timeout(self.request_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
        let builder = match (&self.ca_file, self.ca_only) {
            (None, true) => return Err(ConnectionError::CaMissing),
            (None, false) => builder,
            (Some(path), true) => builder.tls_certs_only(authorities(path)?),
            (Some(path), false) => builder.tls_certs_merge(authorities(path)?),
        };
        let builder = match &self.proxy {
            Some(proxy) => builder.proxy(proxy.rule()?),
            None => builder,
        };
        builder.build().map_err(ConnectionError::Client)
    }

    /// Sent with the first request, without waiting for a challenge: the API never sends one that matters.
    fn authorization(&self) -> Result<HeaderValue, ConnectionError> {
        let pair = Secret::new(format!("{}:{}", self.user, self.password.expose()));
        let value = Secret::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair.expose())));
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| ConnectionError::Credentials)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl ProxySettings {
    fn rule(&self) -> Result<Proxy, ConnectionError> {
        let mut rule = Proxy::all(self.url.clone()).map_err(ConnectionError::Client)?;
        if let Some((user, password)) = &self.credentials {
            rule = rule.basic_auth(user, password.expose());
        }
        Ok(rule.no_proxy(NoProxy::from_string(&self.no_proxy.join(","))))
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, ConnectionError> {
    use std::io::Read;
    let format = || ConnectionError::CaFormat { path: path.to_owned() };
    let mut pem = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(CA_FILE_BYTES_MAX + 1).read_to_end(&mut pem))
        .map_err(|source| ConnectionError::CaUnreadable { path: path.to_owned(), source })?;
    if pem.len() as u64 > CA_FILE_BYTES_MAX {
        return Err(format());
    }
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| format())?;
    if certificates.is_empty() { Err(format()) } else { Ok(certificates) }
}
