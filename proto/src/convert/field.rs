//! Reading one field: the checks every inward conversion is made of.

use bytes::Bytes;
use doorward_policy::{KeyFingerprint, PathBytes};
use uuid::Uuid;

use super::{ConvertError, Fault};
use crate::limit::PATH_BYTES_MAX;

type Checked<T> = Result<T, ConvertError>;

pub(super) fn required<T>(field: &'static str, value: Option<T>) -> Checked<T> {
    value.ok_or(Fault::Missing.of(field))
}

pub(super) fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Checked<[u8; N]> {
    bytes.try_into().map_err(|_| Fault::WrongLength { expected: N, got: bytes.len() }.of(field))
}

/// A fixed-size value made by `new`, such as a digest or an id.
pub(super) fn fixed<const N: usize, T>(field: &'static str, bytes: &[u8], new: impl Fn([u8; N]) -> T) -> Checked<T> {
    array(field, bytes).map(new)
}

/// As [`fixed`]; empty means not there.
pub(super) fn optional_fixed<const N: usize, T>(field: &'static str, bytes: &[u8], new: impl Fn([u8; N]) -> T) -> Checked<Option<T>> {
    if bytes.is_empty() { Ok(None) } else { fixed(field, bytes, new).map(Some) }
}

pub(super) fn id<T>(field: &'static str, bytes: &[u8], new: impl Fn(Uuid) -> T) -> Checked<T> {
    fixed(field, bytes, |bytes| new(Uuid::from_bytes(bytes)))
}

pub(super) fn optional_id<T>(field: &'static str, bytes: &[u8], new: impl Fn(Uuid) -> T) -> Checked<Option<T>> {
    optional_fixed(field, bytes, |bytes| new(Uuid::from_bytes(bytes)))
}

const fn length(field: &'static str, got: usize, max: usize) -> Checked<()> {
    if got > max { Err(Fault::TooLong { max, got }.of(field)) } else { Ok(()) }
}

pub(super) fn text(field: &'static str, text: String, max: usize) -> Checked<String> {
    length(field, text.len(), max).map(|()| text)
}

/// As [`text`]; empty means not there.
pub(super) fn optional_text(field: &'static str, value: String, max: usize) -> Checked<Option<String>> {
    text(field, value, max).map(|text| (!text.is_empty()).then_some(text))
}

pub(super) fn blob(field: &'static str, bytes: Bytes, max: usize) -> Checked<Bytes> {
    length(field, bytes.len(), max).map(|()| bytes)
}

pub(super) fn path(field: &'static str, bytes: &[u8]) -> Checked<PathBytes> {
    length(field, bytes.len(), PATH_BYTES_MAX).map(|()| PathBytes::new(bytes))
}

/// A key's fingerprint of either length.
pub(super) fn key_fingerprint(field: &'static str, bytes: &[u8]) -> Checked<KeyFingerprint> {
    KeyFingerprint::from_slice(bytes).ok_or(Fault::WrongLength { expected: 20, got: bytes.len() }.of(field))
}

/// As [`path`], and as [`PathBytes::is_normal`] has it.
pub(super) fn normal_path(field: &'static str, bytes: &[u8]) -> Checked<PathBytes> {
    let path = path(field, bytes)?;
    if path.is_normal() { Ok(path) } else { Err(Fault::NotNormal.of(field)) }
}

/// As [`path`]; empty means not there.
pub(super) fn optional_path(field: &'static str, bytes: &[u8]) -> Checked<Option<PathBytes>> {
    if bytes.is_empty() { Ok(None) } else { path(field, bytes).map(Some) }
}

/// A list within its limit, each element read by `read`.
pub(super) fn list<W, T>(field: &'static str, items: Vec<W>, max: usize, read: impl Fn(W) -> Checked<T>) -> Checked<Vec<T>> {
    if items.len() > max {
        return Err(Fault::TooMany { max, got: items.len() }.of(field));
    }
    items.into_iter().map(read).collect()
}

/// A member of an enum, found by `read` among those this program knows.
pub(super) fn word<W: TryFrom<i32>, T>(field: &'static str, raw: i32, read: impl Fn(W) -> Option<T>) -> Checked<T> {
    W::try_from(raw).ok().and_then(read).ok_or(Fault::Unknown(i64::from(raw)).of(field))
}
