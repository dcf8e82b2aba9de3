//! Where the management server is: `https://HOST:PORT`, and nothing else.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// Port taken when none is given: what `doorward-cms` listens on by default.
const DEFAULT_PORT: u16 = 8443;

/// Longest address, in bytes: a DNS name, a port and the scheme.
const ADDRESS_BYTES_MAX: usize = 300;

/// The management server's address. Its host is the name its certificate has to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CmsUrl {
    host: String,
    port: u16,
}

/// Why a text is no address of a management server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("the address of the management server starts with https://, as in https://cms.example.org:8443")]
    Scheme,
    /// No host, or one that no certificate can name.
    #[error(
        "the address names no host that a certificate can carry; write a DNS name or an IP address, as in https://cms.example.org:8443"
    )]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port in the address is not a number from 1 to 65535")]
    Port,
    /// A path, a query, a user or a fragment.
    #[error("the address has something after the port or before the host; write only https://HOST:PORT")]
    Surplus,
}

impl CmsUrl {
    /// DNS name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The name to verify the server's certificate against.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.host.clone()).expect("it was one when it was parsed")
    }

    /// Host and port as they stand in requests.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for CmsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for CmsUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(UrlError::Host);
        }
        let rest = text.strip_prefix("https://").ok_or(UrlError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(UrlError::Surplus);
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or(UrlError::Host)?;
                (host, after.strip_prefix(':').or(after.is_empty().then_some("")))
            }
            None => rest.split_once(':').map_or((rest, Some("")), |(host, port)| (host, Some(port))),
        };
        let port = match port.ok_or(UrlError::Host)? {
            "" if !rest.ends_with(':') => DEFAULT_PORT,
            digits => digits.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?,
        };
        ServerName::try_from(host).map_err(|_| UrlError::Host)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_and_reads_back() {
        for (text, host, port, shown) in [
            ("https://cms.example.org:8443", "cms.example.org", 8443, "https://cms.example.org:8443"),
            ("https://cms.example.org/", "cms.example.org", 8443, "https://cms.example.org:8443"),
            ("https://localhost:1", "localhost", 1, "https://localhost:1"),
            ("https://[::1]:9000", "::1", 9000, "https://[::1]:9000"),
            ("https://192.0.2.7", "192.0.2.7", 8443, "https://192.0.2.7:8443"),
        ] {
            let url: CmsUrl = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.to_string().as_str()), (host, port, shown));
            assert_eq!(url.to_string().parse(), Ok(url));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_wrong() {
        for (text, expected) in [
            ("cms.example.org:8443", UrlError::Scheme),
            ("http://cms.example.org", UrlError::Scheme),
            ("https://", UrlError::Host),
            ("https://[::1", UrlError::Host),
            ("https://[::1]x", UrlError::Host),
            ("https://a b", UrlError::Host),
            ("https://cms.example.org:", UrlError::Port),
            ("https://cms.example.org:0", UrlError::Port),
            ("https://cms.example.org:65536", UrlError::Port),
            ("https://cms.example.org:8443/api", UrlError::Surplus),
            ("https://root@cms.example.org", UrlError::Surplus),
        ] {
            assert_eq!(text.parse::<CmsUrl>(), Err(expected), "{text}");
        }
    }
}
