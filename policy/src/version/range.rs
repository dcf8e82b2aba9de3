//! A range of versions, as a list entry names it: `< 3.0.9-1`, `>= 2`, `= 1.2-3`, `[1.0, 2.0)`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{compare, rpm};
use crate::PackageManager;

/// Longest version a range may name, in bytes.
pub const VERSION_BYTES_MAX: usize = 128;

/// Versions from one to another, in the order of whichever manager's package is asked about. Never without a bound, and written in one
/// way only, so that equal ranges have equal text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionRange {
    low: Option<Bound>,
    high: Option<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Bound {
    version: String,
    inclusive: bool,
}

/// A text that is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Neither a comparison nor an interval.
    #[error(
        "{0:?} is no range of versions; write `< 3.0.9-1`, `<= V`, `= V`, `>= V`, `> V`, or `[A, B]` with a round bracket to leave an end out"
    )]
    Form(String),
    /// Not a version.
    #[error(
        "{0:?} is no version: 1 to {VERSION_BYTES_MAX} letters, digits and . + - ~ ^ _, beginning with a letter or digit, after an epoch if any"
    )]
    Version(String),
    /// No version is in it.
    #[error("no version is in {0}")]
    Empty(VersionRange),
}

impl VersionRange {
    /// Whether a package of this manager with this version is meant. With RPM a bound that names no release stands for all releases of
    /// its version, as it does in dependencies.
    #[must_use]
    pub fn contains(&self, manager: PackageManager, version: &str) -> bool {
        let order = |bound: &Bound| match manager {
            PackageManager::Dpkg => compare(manager, version, &bound.version),
            PackageManager::Rpm => rpm::compare_to_bound(version, &bound.version),
        };
        let is_within = |bound: &Option<Bound>, beyond: Ordering| match bound {
            None => true,
            Some(bound) => match order(bound) {
                Ordering::Equal => bound.inclusive,
                order => order == beyond,
            },
        };
        is_within(&self.low, Ordering::Greater) && is_within(&self.high, Ordering::Less)
    }

    /// The range, unless no version of this manager's can be in it.
    ///
    /// # Errors
    /// [`RangeError::Empty`].
    pub fn not_empty(self, manager: PackageManager) -> Result<Self, RangeError> {
        let is_empty = match (&self.low, &self.high) {
            (Some(low), Some(high)) => match compare(manager, &low.version, &high.version) {
                Ordering::Less => false,
                Ordering::Equal => !(low.inclusive && high.inclusive),
                Ordering::Greater => true,
            },
            _ => false,
        };
        if is_empty { Err(RangeError::Empty(self)) } else { Ok(self) }
    }
}

impl Bound {
    fn new(text: &str, inclusive: bool) -> Result<Self, RangeError> {
        let version = text.trim();
        let upstream = match version.split_once(':') {
            Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            _ => version,
        };
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b".+-~^_".contains(&byte);
        let is_version = version.len() <= VERSION_BYTES_MAX
            && upstream.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && upstream.bytes().all(is_known);
        if is_version { Ok(Self { version: version.into(), inclusive }) } else { Err(RangeError::Version(version.into())) }
    }
}

impl FromStr for VersionRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let trimmed = text.trim();
        let comparisons = [("<=", false, true), (">=", true, true), ("<", false, false), (">", true, false)];
        if let Some((rest, is_low, inclusive)) =
            comparisons.iter().find_map(|(sign, is_low, inclusive)| Some((trimmed.strip_prefix(sign)?, is_low, *inclusive)))
        {
            let bound = Some(Bound::new(rest, inclusive)?);
            return Ok(if *is_low { Self { low: bound, high: None } } else { Self { low: None, high: bound } });
        }
        if let Some(version) = trimmed.strip_prefix('=') {
            let bound = Bound::new(version, true)?;
            return Ok(Self { low: Some(bound.clone()), high: Some(bound) });
        }
        let form = || RangeError::Form(text.into());
        let (low_inclusive, rest) = match trimmed.split_at_checked(1) {
            Some(("[", rest)) => (true, rest),
            Some(("(", rest)) => (false, rest),
            _ => return Err(form()),
        };
        let (inner, high_inclusive) = match (rest.strip_suffix(']'), rest.strip_suffix(')')) {
            (Some(inner), _) => (inner, true),
            (_, Some(inner)) => (inner, false),
            (None, None) => return Err(form()),
        };
        let (low, high) = inner.split_once(',').ok_or_else(form)?;
        let bound = |text: &str, inclusive| if text.trim().is_empty() { Ok(None) } else { Bound::new(text, inclusive).map(Some) };
        match (bound(low, low_inclusive)?, bound(high, high_inclusive)?) {
            (None, None) => Err(form()),
            (low, high) => Ok(Self { low, high }),
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.low, &self.high) {
            (Some(low), Some(high)) if low == high && low.inclusive => write!(f, "= {}", low.version),
            (Some(low), Some(high)) => {
                let (open, close) = (if low.inclusive { '[' } else { '(' }, if high.inclusive { ']' } else { ')' });
                write!(f, "{open}{}, {}{close}", low.version, high.version)
            }
            (Some(low), None) => write!(f, "{} {}", if low.inclusive { ">=" } else { ">" }, low.version),
            (None, Some(high)) => write!(f, "{} {}", if high.inclusive { "<=" } else { "<" }, high.version),
            (None, None) => f.write_str("any"),
        }
    }
}

impl TryFrom<String> for VersionRange {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl From<VersionRange> for String {
    fn from(range: VersionRange) -> Self {
        range.to_string()
    }
}
