//! Debian's order, as deb-version(7) describes it.

use std::cmp::Ordering;

use super::{compare_numbers, epoch, split_while};

pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let ((left_epoch, left), (right_epoch, right)) = (epoch(left), epoch(right));
    let (left, left_revision) = left.rsplit_once('-').unwrap_or((left, ""));
    let (right, right_revision) = right.rsplit_once('-').unwrap_or((right, ""));
    compare_numbers(left_epoch, right_epoch)
        .then_with(|| compare_parts(left, right))
        .then_with(|| compare_parts(left_revision, right_revision))
}

/// Stretches of other characters and of digits in turn.
fn compare_parts(mut left: &str, mut right: &str) -> Ordering {
    while !(left.is_empty() && right.is_empty()) {
        let ((left_text, left_rest), (right_text, right_rest)) = (split_while(left, is_text), split_while(right, is_text));
        let ((left_digits, left_rest), (right_digits, right_rest)) =
            (split_while(left_rest, |character| !is_text(character)), split_while(right_rest, |character| !is_text(character)));
        let order = compare_text(left_text, right_text).then_with(|| compare_numbers(left_digits, right_digits));
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

const fn is_text(character: char) -> bool {
    !character.is_ascii_digit()
}

/// A tilde stands before the end, the end before letters, and letters before everything else.
fn compare_text(left: &str, right: &str) -> Ordering {
    let weight = |byte: u8| match byte {
        b'~' => -1,
        byte if byte.is_ascii_alphabetic() => i32::from(byte),
        byte => i32::from(byte) + 256,
    };
    let (mut left, mut right) = (left.bytes(), right.bytes());
    loop {
        let (left, right) = (left.next(), right.next());
        let order = left.map_or(0, weight).cmp(&right.map_or(0, weight));
        if order != Ordering::Equal || left.is_none() && right.is_none() {
            return order;
        }
    }
}
