//! Which of two versions of a package is older, in its manager's own order, and ranges of versions as lists name them.
//!
//! Total: what a manager would not take as a version has a place in the order all the same, because a host reports what its database
//! says. What a list may name is checked when it is written, see [`VersionRange`].

use std::cmp::Ordering;

use crate::PackageManager;

mod dpkg;
mod range;
mod rpm;

pub use range::{RangeError, VERSION_BYTES_MAX, VersionRange};

/// Which of two versions is older by the rules of `manager`.
///
/// Debian compares epoch, upstream version and revision; an absent revision is the smallest there is. RPM compares epoch, version and
/// release by `rpmvercmp`; an absent release is older than any.
#[must_use]
pub fn compare(manager: PackageManager, left: &str, right: &str) -> Ordering {
    match manager {
        PackageManager::Dpkg => dpkg::compare(left, right),
        PackageManager::Rpm => rpm::compare(left, right),
    }
}

/// The epoch's digits and what follows them; `"0"` where there is none. Text before a colon that is no number is no epoch.
fn epoch(version: &str) -> (&str, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit()) => (epoch, rest),
        _ => ("0", version),
    }
}

/// Digits as a number, however many there are.
fn compare_numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Cuts `text` after the characters at its start that are `wanted`.
fn split_while(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|character| !wanted(character)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
