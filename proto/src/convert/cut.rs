//! Keeping what goes out within its limit. Only what describes is ever cut; names by digest or id have a fixed length.

use bytes::Bytes;
use doorward_policy::PathBytes;
use prost::Message;

use crate::limit::LIST_BYTES_MAX;
use crate::report::encoded_width;

/// The longest beginning of a text that has at most `max` bytes and ends between characters.
pub(super) fn text(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

pub(super) fn optional_text(value: Option<String>, max: usize) -> String {
    value.map(|value| text(value, max)).unwrap_or_default()
}

pub(super) fn path(path: &PathBytes) -> Bytes {
    Bytes::copy_from_slice(path.as_bytes())
}

pub(super) fn optional_path(value: Option<&PathBytes>) -> Bytes {
    value.map(path).unwrap_or_default()
}

pub(super) fn optional_bytes<const N: usize>(bytes: Option<&[u8; N]>) -> Bytes {
    bytes.map(|bytes| Bytes::copy_from_slice(bytes)).unwrap_or_default()
}

/// The first messages of a list: at most `max` of them and at most [`LIST_BYTES_MAX`] encoded.
pub(super) fn messages<T, W: Message + From<T>>(items: Vec<T>, max: usize) -> Vec<W> {
    within(items.into_iter().map(W::from), max, Message::encoded_len)
}

/// The first paths of a list, as [`messages`].
pub(super) fn paths(items: &[PathBytes], max: usize) -> Vec<Bytes> {
    within(items.iter().map(path), max, Bytes::len)
}

fn within<W>(items: impl Iterator<Item = W>, max: usize, len: impl Fn(&W) -> usize) -> Vec<W> {
    items
        .scan(0, |bytes, item| {
            *bytes += encoded_width(len(&item));
            (*bytes <= LIST_BYTES_MAX).then_some(item)
        })
        .take(max)
        .collect()
}
