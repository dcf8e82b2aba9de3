//! Base URLs in the order the operator wrote them, and which of them is asked first at the moment.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use reqwest::Url;

use super::question::BULK_QUERY;

/// Most base URLs a configuration may list; each costs a connect time-out in the worst case.
pub const BASES_MAX: usize = 8;

/// How long a later host is preferred after an earlier one failed. Then the first is tried again.
const DETOUR: Duration = Duration::from_secs(300);

/// A text that cannot be a base URL, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// Not a URL, or one without a host.
    #[error("{0} is neither a preset ({known}) nor an https:// URL", known = known())]
    NotUrl(Quoted),
    /// Answers and credentials would be in the clear.
    #[error("{0} is not https; answers and credentials never travel unprotected")]
    NotHttps(Quoted),
    /// Credentials, query or fragment in the URL. The text is not repeated: it may hold a password.
    #[error("a base URL for {0} has a user, query or fragment; write user and password_file instead")]
    Decorated(String),
    /// None, or more than [`BASES_MAX`].
    #[error("{0} base URLs; at least 1 and at most {BASES_MAX} can be listed")]
    Count(usize),
}

/// A text somebody wrote where a URL belongs, as messages may repeat it.
///
/// SECURITY: what is no URL may still be a password with a typing error around it (`user:password@host:999999`, a token behind `?`), and
/// messages end in logs and tickets. Only text that can hold neither is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(Option<String>);

impl Quoted {
    /// Longest text repeated, in bytes.
    const BYTES_MAX: usize = 256;

    fn new(text: &str) -> Self {
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = rest.split_once(':').unwrap_or((rest, ""));
        let (number, path) = port.split_at(port.find('/').unwrap_or(port.len()));
        // A colon before anything but a port may stand between a user and a password.
        let harmless = host.chars().chain(path.chars()).all(plain) && number.chars().all(|digit| digit.is_ascii_digit());
        Self((harmless && text.len() <= Self::BYTES_MAX).then(|| text.to_owned()))
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(f, "{text:?}"),
            None => f.write_str("a base URL (not repeated here: it may hold a password)"),
        }
    }
}

fn known() -> String {
    super::preset::PRESETS.map(|(word, _)| word).join(", ")
}

/// One host's bulk query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Where questions go.
    pub query: Url,
    /// Host and port, for messages.
    pub host: String,
}

impl Base {
    /// Reads a preset's word or an https URL, with or without a path and a closing slash.
    ///
    /// # Errors
    /// See [`BaseError`].
    pub fn parse(text: &str) -> Result<Self, BaseError> {
        let url = super::preset::preset(text).unwrap_or(text);
        let mut url = Url::parse(url).map_err(|_| BaseError::NotUrl(Quoted::new(text)))?;
        let host = url.host_str().ok_or_else(|| BaseError::NotUrl(Quoted::new(text)))?.to_owned();
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(BaseError::Decorated(host));
        }
        if url.scheme() != "https" {
            return Err(BaseError::NotHttps(Quoted::new(text)));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let query = url.join(BULK_QUERY).map_err(|_| BaseError::NotUrl(Quoted::new(text)))?;
        let host = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
        Ok(Self { query, host })
    }
}

/// The ordered list.
#[derive(Debug)]
pub struct Bases {
    bases: Vec<Base>,
    /// Index of the host that answered last, and since when it is preferred; the first one when `None`.
    detour: Mutex<Option<(usize, Instant)>>,
}

impl Bases {
    /// Keeps the order given.
    ///
    /// # Errors
    /// When the list is empty or too long.
    pub fn new(bases: Vec<Base>) -> Result<Self, BaseError> {
        match bases.len() {
            1..=BASES_MAX => Ok(Self { bases, detour: Mutex::new(None) }),
            count => Err(BaseError::Count(count)),
        }
    }

    /// Every host once, beginning with the one to prefer at `now`; with its index for [`Self::answered`].
    pub fn in_order(&self, now: Instant) -> impl Iterator<Item = (usize, &Base)> {
        let mut detour = self.detour.lock().expect("no code panics while it holds the detour");
        if detour.is_some_and(|(_, since)| now.duration_since(since) >= DETOUR) {
            *detour = None;
        }
        let first = detour.map_or(0, |(index, _)| index);
        self.bases.iter().enumerate().cycle().skip(first).take(self.bases.len())
    }

    /// Host `index` answered, so it comes first for a while.
    pub fn answered(&self, index: usize, now: Instant) {
        let mut detour = self.detour.lock().expect("no code panics while it holds the detour");
        match *detour {
            _ if index == 0 => *detour = None,
            Some((current, _)) if current == index => {}
            _ => *detour = Some((index, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_preset_or_an_https_url() {
        let base = Base::parse("https://t1000.corp.example:8443/mirror").unwrap();
        assert_eq!(base.host, "t1000.corp.example:8443");
        assert_eq!(
            base.query.as_str(),
            "https://t1000.corp.example:8443/mirror/api/databrowser/malware_presence/bulk_query/json?extended=true&show_hashes=true&format=json"
        );
        assert_eq!(Base::parse("spectra").unwrap().host, "data.reversinglabs.com");
        assert_eq!(Base::parse("https://data.reversinglabs.com/"), Base::parse("spectra"));
    }

    #[test]
    fn what_would_leak_or_mislead_is_refused() {
        assert!(matches!(Base::parse("ticlod"), Err(BaseError::NotUrl(_))));
        assert!(matches!(Base::parse("data:text/plain,x"), Err(BaseError::NotUrl(_))));
        assert!(matches!(Base::parse("http://ti.example"), Err(BaseError::NotHttps(_))));
        assert!(matches!(Base::parse("https://ti.example/?format=xml"), Err(BaseError::Decorated(_))));
        let error = Base::parse("https://user:s3cret@ti.example").unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert!(matches!(Bases::new(Vec::new()), Err(BaseError::Count(0))));
    }

    #[test]
    fn no_message_repeats_what_may_be_a_password() {
        let mistakes = [
            "https://bob:s3cret@ti.example:999999",
            "https://bob:s3cret%40ti.example:999999",
            "bob:s3cret@ti.example",
            "bob:s3cret",
            "https://bob:s3cret",
            "//bob:s3cret@ti.example",
            "http://bob:s3cret@ti.example",
            "http://ti.example/?key=s3cret",
            "https://ti.example:999999/#s3cret",
            "https:bob:s3cret@ti example",
            "s3cret@",
        ];
        for text in mistakes {
            let error = Base::parse(text).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
        for (text, repeated) in [("ticlod", "\"ticlod\""), ("http://ti.example:80/x", "\"http://ti.example:80/x\"")] {
            let error = Base::parse(text).unwrap_err().to_string();
            assert!(error.contains(repeated), "a typing error is shown: {error}");
        }
    }

    #[test]
    fn the_host_that_answers_comes_first_until_the_detour_ends() {
        let bases = ["https://a.example", "https://b.example", "https://c.example"].map(|url| Base::parse(url).unwrap());
        let bases = Bases::new(bases.to_vec()).unwrap();
        let order = |now| bases.in_order(now).map(|(_, base)| base.host.clone()).collect::<Vec<_>>().join(" ");
        let start = Instant::now();
        assert_eq!(order(start), "a.example b.example c.example");
        bases.answered(1, start);
        assert_eq!(order(start), "b.example c.example a.example");
        bases.answered(1, start + DETOUR / 2);
        assert_eq!(order(start + DETOUR), "a.example b.example c.example", "answering does not prolong a detour");
        bases.answered(2, start);
        bases.answered(0, start);
        assert_eq!(order(start), "a.example b.example c.example");
    }
}
