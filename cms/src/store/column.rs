//! Reading a row into domain values. Whatever the column holds, the outcome is a value or [`StoreError::Corrupt`]; nothing panics.

use doorward_policy::{Blake3, HostId, Md5, PathBytes, ProfileId, ScanId, Sha1, Sha256};
use serde::de::{DeserializeOwned, IntoDeserializer};
use sqlx::{Decode, Row as _, Sqlite, Type};
use uuid::Uuid;

use super::{Result, Row, StoreError};

/// Typed access to the columns of one row.
pub(super) struct Columns<'r>(pub(super) &'r Row);

fn corrupt(column: &'static str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { column, what: what.to_string() }
}

macro_rules! blobs {
    ($($name:ident: $type:ty, $optional:ident;)*) => {$(
        pub(super) fn $name(&self, column: &'static str) -> Result<$type> {
            let bytes: &[u8] = self.raw(column)?;
            <$type>::from_slice(bytes).ok_or_else(|| corrupt(column, format_args!("{} bytes", bytes.len())))
        }

        #[allow(dead_code, reason = "not every blob is optional somewhere")]
        pub(super) fn $optional(&self, column: &'static str) -> Result<Option<$type>> {
            match self.raw::<Option<&[u8]>>(column)? {
                None => Ok(None),
                Some(_) => self.$name(column).map(Some),
            }
        }
    )*};
}

impl<'r> Columns<'r> {
    fn raw<T: Decode<'r, Sqlite> + Type<Sqlite>>(&self, column: &'static str) -> Result<T> {
        Ok(self.0.try_get(column)?)
    }

    blobs! {
        sha256: Sha256, maybe_sha256;
        sha1: Sha1, maybe_sha1;
        md5: Md5, maybe_md5;
        blake3: Blake3, maybe_blake3;
        host: HostId, maybe_host;
        profile: ProfileId, maybe_profile;
        scan: ScanId, maybe_scan;
    }

    pub(super) fn uuid(&self, column: &'static str) -> Result<Uuid> {
        Uuid::from_slice(self.raw(column)?).map_err(|error| corrupt(column, error))
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<Vec<u8>> {
        Ok(self.raw::<&[u8]>(column)?.to_vec())
    }

    pub(super) fn maybe_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>> {
        Ok(self.raw::<Option<&[u8]>>(column)?.map(<[u8]>::to_vec))
    }

    pub(super) fn array<const N: usize>(&self, column: &'static str) -> Result<[u8; N]> {
        let bytes: &[u8] = self.raw(column)?;
        bytes.try_into().map_err(|_| corrupt(column, format_args!("{} bytes instead of {N}", bytes.len())))
    }

    pub(super) fn path(&self, column: &'static str) -> Result<PathBytes> {
        Ok(PathBytes::new(self.raw::<&[u8]>(column)?))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String> {
        self.raw(column)
    }

    pub(super) fn maybe_text(&self, column: &'static str) -> Result<Option<String>> {
        self.raw(column)
    }

    pub(super) fn integer(&self, column: &'static str) -> Result<i64> {
        self.raw(column)
    }

    pub(super) fn time(&self, column: &'static str) -> Result<i64> {
        self.raw(column)
    }

    pub(super) fn maybe_time(&self, column: &'static str) -> Result<Option<i64>> {
        self.raw(column)
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.raw::<i64>(column)? != 0)
    }

    /// A number that is never negative.
    pub(super) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T> {
        let number: i64 = self.raw(column)?;
        T::try_from(number).map_err(|_| corrupt(column, format_args!("{number} is out of range")))
    }

    pub(super) fn maybe_number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>> {
        match self.raw::<Option<i64>>(column)? {
            None => Ok(None),
            Some(_) => self.number(column).map(Some),
        }
    }

    /// A value of an enum without fields, by its word.
    pub(super) fn word<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        from_word(self.raw(column)?).map_err(|error| corrupt(column, error))
    }

    pub(super) fn maybe_word<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>> {
        match self.raw::<Option<&str>>(column)? {
            None => Ok(None),
            Some(_) => self.word(column).map(Some),
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        serde_json::from_str(self.raw(column)?).map_err(|error| corrupt(column, error))
    }

    pub(super) fn maybe_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>> {
        match self.raw::<Option<&str>>(column)? {
            None => Ok(None),
            Some(_) => self.json(column).map(Some),
        }
    }
}

fn from_word<T: DeserializeOwned>(word: &str) -> std::result::Result<T, serde::de::value::Error> {
    T::deserialize(word.into_deserializer())
}

/// The word of an enum without fields, as serde writes it.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable_word(&other),
    }
}

fn unreachable_word(value: &std::result::Result<serde_json::Value, serde_json::Error>) -> String {
    debug_assert!(false, "only enums without fields are stored as words, not {value:?}");
    String::new()
}

/// JSON of a domain value, whose serialization cannot fail: no maps with odd keys, no refusing impls.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("domain values serialize")
}

/// A count as the database can hold it.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count a host claims, bounded so that no sum of such counts overflows what the database can add up.
pub(super) fn claimed(count: u64) -> i64 {
    i64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
