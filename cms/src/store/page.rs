//! Lists come in pages. A cursor is opaque to callers: hexadecimal of the key of the last row they saw, checked when it comes back.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Rows in a page when the caller does not say.
pub const PAGE_ROWS_DEFAULT: u32 = 100;

/// Rows in a page at most.
pub const PAGE_ROWS_MAX: u32 = 1000;

/// Longest cursor, in bytes before hexadecimal.
const CURSOR_BYTES_MAX: usize = 300;

/// The key of the last row of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// The text is not a cursor this program gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: give back the text of `next` exactly as it was, or leave it out to start over")]
pub struct CursorError;

impl Cursor {
    pub(super) fn new(key: impl Into<Vec<u8>>) -> Self {
        Self(key.into())
    }

    /// The key's bytes; `None` when they are not as many as this list's keys have.
    pub(super) fn key<const N: usize>(&self) -> Result<[u8; N], CursorError> {
        self.0.as_slice().try_into().map_err(|_| CursorError)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn number(&self) -> Result<i64, CursorError> {
        self.key().map(i64::from_be_bytes)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text.is_empty() || text.len() > CURSOR_BYTES_MAX * 2 {
            return Err(CursorError);
        }
        data_encoding::HEXLOWER.decode(text.as_bytes()).map(Self).map_err(|_| CursorError)
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows at most, 1..=[`PAGE_ROWS_MAX`].
    pub limit: u32,
    /// Rows after this one; `None` from the start.
    pub after: Option<Cursor>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: PAGE_ROWS_DEFAULT, after: None }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts rows of which one more than `limit` was asked for, so that the last page is known to be the last.
    pub(super) fn cut(mut items: Vec<T>, limit: u32, key: impl FnOnce(&T) -> Cursor) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(key);
        Self { items, next }
    }
}
