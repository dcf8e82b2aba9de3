//! The table `[intel]` of the configuration: read as it stands, then validated into a provider.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_service::clock::Clock;
use reqwest::Url;
use serde::Deserialize;

use super::lifetime::Lifetimes;
use super::provider::{NotConfigured, Provider};
use super::reversinglabs::ReversingLabs;
use super::reversinglabs::base::{Base, BaseError, Bases};
use super::reversinglabs::connection::{Connection, ConnectionError, ProxySettings};
use super::reversinglabs::preset::DEFAULT_URL;
use super::secret::{Secret, SecretError};

/// Longest time-out a configuration may set, in seconds.
const TIMEOUT_S_MAX: u64 = 600;

/// Longest gathering of a batch, in milliseconds.
const BATCH_WAIT_MS_MAX: u64 = 60_000;

/// Most look-ups under way at once that a configuration may set.
const IN_FLIGHT_MAX: usize = 16;

/// Most entries of the no-proxy list.
const NO_PROXY_MAX: usize = 256;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderChoice {
    /// Nobody: every look-up says so at once.
    #[default]
    None,
    /// The TCA-0101 client.
    ReversingLabs,
}

/// `[intel]` as it stands in the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Who is asked.
    pub provider: ProviderChoice,
    /// One of the presets' words; shorthand for `urls` with one entry.
    pub preset: Option<String>,
    /// Base URLs or presets' words in order of preference.
    pub urls: Vec<String>,
    /// PEM file with CAs to trust.
    pub ca_file: Option<PathBuf>,
    /// Trust the CAs of `ca_file` alone instead of beside the system's.
    pub ca_only: bool,
    /// Account.
    pub user: Option<String>,
    /// File with the account's password.
    pub password_file: Option<PathBuf>,
    /// HTTP proxy, `http://[user[:password]@]host:port`.
    pub proxy: Option<Secret>,
    /// File with the proxy's password, instead of one in `proxy`.
    pub proxy_password_file: Option<PathBuf>,
    /// Hosts, domains and address ranges that are asked without the proxy.
    pub no_proxy: Vec<String>,
    /// For TCP and TLS together, in seconds.
    pub connect_timeout_s: u64,
    /// For a whole request with its answer, in seconds.
    pub request_timeout_s: u64,
    /// How long files that were not executed wait for others to share a request, in milliseconds.
    pub batch_wait_ms: u64,
    /// Shared requests under way at once. Executed files have as many of their own.
    pub in_flight: usize,
    /// How long answers stay fresh.
    pub lifetimes: Lifetimes,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            provider: ProviderChoice::None,
            preset: None,
            urls: Vec::new(),
            ca_file: None,
            ca_only: false,
            user: None,
            password_file: None,
            proxy: None,
            proxy_password_file: None,
            no_proxy: Vec::new(),
            connect_timeout_s: 10,
            request_timeout_s: 30,
            batch_wait_ms: 1000,
            in_flight: 2,
            lifetimes: Lifetimes::default(),
        }
    }
}

/// What is wrong with `[intel]`. All of it is the operator's to mend; no message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A key the provider cannot do without.
    #[error("[intel] provider = \"reversinglabs\" needs {0}")]
    Missing(&'static str),
    /// Two keys that say the same thing.
    #[error("[intel] {0} and {1} exclude each other")]
    Both(&'static str, &'static str),
    /// A number out of its range.
    #[error("[intel] {key} is {value}; expected {min} to {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// What stands there.
        value: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// A proxy that is none.
    #[error("[intel] proxy is not http://[user[:password]@]host:port")]
    Proxy,
    /// A bad or missing base URL.
    #[error("[intel] urls: {0}")]
    Base(#[from] BaseError),
    /// A password file that holds no password.
    #[error("[intel]: {0}")]
    Secret(#[from] SecretError),
    /// Something only the client can tell.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl Settings {
    /// Checks everything and makes the provider. Reads the named files; sends nothing.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn provider(&self, clock: Clock) -> Result<Arc<dyn Provider>, SettingsError> {
        self.check_ranges()?;
        match self.provider {
            ProviderChoice::None => Ok(Arc::new(NotConfigured)),
            ProviderChoice::ReversingLabs => {
                let client = self.connection()?.client()?;
                Ok(Arc::new(ReversingLabs::new(client, self.bases()?, clock)))
            }
        }
    }

    /// Hosts in order, for `intel status`.
    ///
    /// # Errors
    /// When one of them is no base URL.
    pub fn bases(&self) -> Result<Bases, SettingsError> {
        let texts: Vec<&str> = match (&self.preset, self.urls.is_empty()) {
            (Some(_), false) => return Err(SettingsError::Both("preset", "urls")),
            (Some(preset), true) => vec![preset],
            (None, true) => vec![DEFAULT_URL],
            (None, false) => self.urls.iter().map(String::as_str).collect(),
        };
        let bases = texts.into_iter().map(Base::parse).collect::<Result<_, _>>()?;
        Ok(Bases::new(bases)?)
    }

    fn check_ranges(&self) -> Result<(), SettingsError> {
        let rows = [
            ("connect_timeout_s", self.connect_timeout_s, 1, TIMEOUT_S_MAX),
            ("request_timeout_s", self.request_timeout_s, 1, TIMEOUT_S_MAX),
            ("batch_wait_ms", self.batch_wait_ms, 0, BATCH_WAIT_MS_MAX),
            ("in_flight", self.in_flight as u64, 1, IN_FLIGHT_MAX as u64),
            ("no_proxy entries", self.no_proxy.len() as u64, 0, NO_PROXY_MAX as u64),
        ];
        match rows.into_iter().find(|(_, value, min, max)| value < min || value > max) {
            Some((key, value, min, max)) => Err(SettingsError::Range { key, value, min, max }),
            None => Ok(()),
        }
    }

    fn connection(&self) -> Result<Connection, SettingsError> {
        let user = self.user.clone().filter(|user| !user.is_empty()).ok_or(SettingsError::Missing("user"))?;
        let password_file = self.password_file.as_ref().ok_or(SettingsError::Missing("password_file"))?;
        Ok(Connection {
            user,
            password: Secret::from_file(password_file)?,
            ca_file: self.ca_file.clone(),
            ca_only: self.ca_only,
            proxy: self.proxy.as_ref().map(|proxy| self.proxy(proxy)).transpose()?,
            connect_timeout: Duration::from_secs(self.connect_timeout_s),
            request_timeout: Duration::from_secs(self.request_timeout_s),
        })
    }

    /// Takes the credentials out of the URL, so that it can stand in messages.
    fn proxy(&self, proxy: &Secret) -> Result<ProxySettings, SettingsError> {
        let mut url = Url::parse(proxy.expose()).map_err(|_| SettingsError::Proxy)?;
        let decorated = url.query().is_some() || url.fragment().is_some() || !matches!(url.path(), "" | "/");
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || decorated {
            return Err(SettingsError::Proxy);
        }
        let user = unescaped(url.username())?;
        let inline = url.password().map(unescaped).transpose()?;
        let password = match (inline, &self.proxy_password_file) {
            (Some(_), Some(_)) => return Err(SettingsError::Both("a password in proxy", "proxy_password_file")),
            (Some(password), None) => password,
            (None, Some(path)) => Secret::from_file(path)?,
            (None, None) => Secret::new(""),
        };
        let credentials = (!user.expose().is_empty()).then(|| (user.expose().to_owned(), password));
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| SettingsError::Proxy)?;
        Ok(ProxySettings { url, credentials, no_proxy: self.no_proxy.clone() })
    }
}

/// Undoes the percent signs of a URL's user or password.
fn unescaped(text: &str) -> Result<Secret, SettingsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).map_err(|_| SettingsError::Proxy)?;
                (u8::from_str_radix(digits, 16).map_err(|_| SettingsError::Proxy)?, after)
            }
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).map(Secret::new).map_err(|_| SettingsError::Proxy)
}

#[cfg(test)]
mod tests;
