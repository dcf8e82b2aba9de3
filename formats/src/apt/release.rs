//! A Release file: what a suite is called, until when it is to be believed, and the digests of its indexes. Only what stood inside a
//! signature may come here.

use std::collections::HashMap;

use doorward_policy::Sha256;

use super::date;
use crate::StanzaProblem;
use crate::deb822::{Stanzas, word};

/// Bytes of one list of digests; a large suite's have some hundred kilobytes.
const LIST_BYTES_MAX: usize = 16 << 20;

/// Indexes of one suite.
const LISTED_MAX: usize = 100_000;

const FIELDS: [&str; 8] = ["Origin", "Suite", "Codename", "Date", "Valid-Until", "SHA256", "SHA512", "MD5Sum"];

/// Why a Release file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseProblem {
    /// No stanza, or one that two readers could understand differently.
    #[error("it is damaged: {0}")]
    Stanza(#[from] StanzaProblem),
    /// Nothing in it, or a second stanza.
    #[error("it is not one stanza")]
    NotOneStanza,
    /// When it was made decides what it is worth.
    #[error("its {0} is missing or no date in universal time")]
    Date(&'static str),
    /// MD5 and SHA-1 do not count.
    #[error("it lists its indexes by MD5 or SHA-1 alone")]
    NoStrongDigests,
    /// A line of the list is not what it should be.
    #[error("a line of its {0} list is damaged")]
    Line(&'static str),
    /// More than any suite has.
    #[error("it lists more than {LISTED_MAX} indexes")]
    TooMany,
}

/// A digest that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrongDigest {
    /// Preferred where both are listed.
    Sha256(Sha256),
    /// Of a suite that lists no SHA-256.
    Sha512([u8; 64]),
}

/// An index as listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Bytes.
    pub size: u64,
    /// Of the whole content.
    pub digest: StrongDigest,
}

/// A suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Who publishes it, by its own word; for people.
    pub origin: String,
    /// What it is called: its suite, else its code name.
    pub suite: String,
    /// When it was made, in seconds since 1970, UTC.
    pub date: i64,
    /// After this it is no longer to be believed.
    pub valid_until: Option<i64>,
    /// Its indexes by their path below the suite.
    pub indexes: HashMap<String, Listed>,
}

impl Release {
    /// Reads a whole Release file.
    ///
    /// # Errors
    /// [`ReleaseProblem`].
    pub fn read(text: &[u8]) -> Result<Self, ReleaseProblem> {
        let mut stanzas = Stanzas::new(text, FIELDS, LIST_BYTES_MAX);
        let [origin, suite, codename, made, until, sha256, sha512, _] = stanzas.next()?.ok_or(ReleaseProblem::NotOneStanza)?;
        if stanzas.next()?.is_some() {
            return Err(ReleaseProblem::NotOneStanza);
        }
        let text = |value: &Option<Vec<u8>>| word(value.as_deref()).unwrap_or_default().to_owned();
        let date = word(made.as_deref()).and_then(date::parse).ok_or(ReleaseProblem::Date("Date"))?;
        let valid_until = match until {
            None => None,
            Some(until) => Some(word(Some(&until)).and_then(date::parse).ok_or(ReleaseProblem::Date("Valid-Until"))?),
        };
        let indexes = match (sha256, sha512) {
            (Some(list), _) => listed("SHA256", &list, |digest| Sha256::from_hex(digest).map(StrongDigest::Sha256))?,
            (None, Some(list)) => listed("SHA512", &list, |digest| sha512_of(digest).map(StrongDigest::Sha512))?,
            (None, None) => return Err(ReleaseProblem::NoStrongDigests),
        };
        let suite = if suite.is_some() { text(&suite) } else { text(&codename) };
        Ok(Self { origin: text(&origin), suite, date, valid_until, indexes })
    }

    /// The indexes of packages, by their path as it is when nothing packs it.
    pub fn package_indexes(&self) -> impl Iterator<Item = (&str, &Listed)> {
        let is_packages = |path: &str| path == "Packages" || path.ends_with("/Packages");
        self.indexes.iter().map(|(path, listed)| (path.as_str(), listed)).filter(move |(path, _)| is_packages(path))
    }
}

fn listed(
    field: &'static str,
    list: &[u8],
    digest: impl Fn(&[u8]) -> Option<StrongDigest>,
) -> Result<HashMap<String, Listed>, ReleaseProblem> {
    let mut indexes = HashMap::new();
    for line in list.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let entry = || {
            let digest = digest(words.next()?)?;
            let size = str::from_utf8(words.next()?).ok()?.parse().ok()?;
            let path = str::from_utf8(words.next()?).ok()?.to_owned();
            words.next().is_none().then_some((path, Listed { size, digest }))
        };
        let (path, listed) = { entry }().ok_or(ReleaseProblem::Line(field))?;
        if indexes.len() == LISTED_MAX {
            return Err(ReleaseProblem::TooMany);
        }
        // An index that is listed twice with different digests could be either.
        if indexes.insert(path, listed).is_some_and(|other| other != listed) {
            return Err(ReleaseProblem::Line(field));
        }
    }
    Ok(indexes)
}

fn sha512_of(text: &[u8]) -> Option<[u8; 64]> {
    let (first, second) = text.split_at_checked(64)?;
    let (first, second) = (Sha256::from_hex(first)?, Sha256::from_hex(second)?);
    [*first.as_bytes(), *second.as_bytes()].concat().try_into().ok()
}
