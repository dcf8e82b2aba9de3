//! RPM's order: epoch, version and release, the latter two by `rpmvercmp`.

use std::cmp::Ordering;

use super::{compare_numbers, epoch, split_while};

pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let ((left_epoch, left), (right_epoch, right)) = (epoch(left), epoch(right));
    let ((left, left_release), (right, right_release)) = (split_release(left), split_release(right));
    let releases = || match (left_release, right_release) {
        (Some(left), Some(right)) => compare_parts(left, right),
        (left, right) => left.is_some().cmp(&right.is_some()),
    };
    compare_numbers(left_epoch, right_epoch).then_with(|| compare_parts(left, right)).then_with(releases)
}

/// As dependencies compare: a `bound` that names no release stands for all of that version's.
pub(super) fn compare_to_bound(version: &str, bound: &str) -> Ordering {
    match split_release(bound).1 {
        Some(_) => compare(version, bound),
        None => compare(split_release(version).0, bound),
    }
}

/// Version, with its epoch if it has one, and release.
fn split_release(version: &str) -> (&str, Option<&str>) {
    version.rsplit_once('-').map_or((version, None), |(version, release)| (version, Some(release)))
}

/// Stretches of letters and of digits in turn; everything between them only separates. A tilde stands before the end, a caret right
/// after it.
fn compare_parts(mut left: &str, mut right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    loop {
        (left, right) = (skip_separators(left), skip_separators(right));
        match (left.strip_prefix('~'), right.strip_prefix('~')) {
            (Some(left_rest), Some(right_rest)) => {
                (left, right) = (left_rest, right_rest);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (left.strip_prefix('^'), right.strip_prefix('^')) {
            (Some(left_rest), Some(right_rest)) => {
                (left, right) = (left_rest, right_rest);
                continue;
            }
            (Some(_), None) => return if right.is_empty() { Ordering::Greater } else { Ordering::Less },
            (None, Some(_)) => return if left.is_empty() { Ordering::Less } else { Ordering::Greater },
            (None, None) => {}
        }
        if left.is_empty() || right.is_empty() {
            return left.len().cmp(&right.len());
        }
        let is_number = left.starts_with(|character: char| character.is_ascii_digit());
        let is_wanted = |character: char| if is_number { character.is_ascii_digit() } else { character.is_ascii_alphabetic() };
        let ((left_part, left_rest), (right_part, right_rest)) = (split_while(left, is_wanted), split_while(right, is_wanted));
        if right_part.is_empty() {
            // A number is newer than letters.
            return if is_number { Ordering::Greater } else { Ordering::Less };
        }
        let order = if is_number { compare_numbers(left_part, right_part) } else { left_part.cmp(right_part) };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
}

fn skip_separators(text: &str) -> &str {
    split_while(text, |character| !character.is_ascii_alphanumeric() && !matches!(character, '~' | '^')).1
}
