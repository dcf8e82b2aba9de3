//! What a report looks like on disk: a schema of its own, versioned apart from the wire and from the domain's own forms, so that
//! neither can change what an agent finds in its store after an upgrade.
//!
//! A value is one version byte, one class byte, the length of the rest (u32, little-endian) and postcard. Enums only grow at their
//! end; anything else is a new version beside the old one. What cannot be read is an error here, never a panic.

use doorward_proto::report::ReportBody;
use serde::{Deserialize, Serialize};

mod body;
mod file;

pub(super) use body::{Observed, VerdictRow};

/// Version of the schema in [`body`] and [`file`].
const VERSION: u8 = 1;

/// Bytes before the postcard part.
pub(super) const HEADER_BYTES: usize = 6;

/// What happens to a report when there is no room for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// An execution or a denial: it will not come again, so it is kept as long as anything can be dropped instead.
    Kept,
    /// A finding of a scan or a state: scanning again or the next change brings it back.
    Expendable,
}

impl Class {
    const fn byte(self) -> u8 {
        match self {
            Self::Kept => 0,
            Self::Expendable => 1,
        }
    }

    /// Reads the class without decoding the value; anything unknown is kept.
    pub(super) fn of_value(value: &[u8]) -> Self {
        if value.get(1) == Some(&1) { Self::Expendable } else { Self::Kept }
    }
}

/// Why stored bytes are not a report. The record is dropped and counted; the store goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("written by a later version ({0})")]
    Version(u8),
    #[error("{found} bytes where {expected} were written")]
    Length { expected: usize, found: usize },
    #[error("not what this version writes: {0}")]
    Form(#[from] postcard::Error),
    #[error("holds an impossible {0}")]
    Impossible(&'static str),
}

/// A report on its way to or from the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    Observation(body::Observed),
    Denial(body::Denied),
    Coverage(body::Covered),
    Inventory(body::Inventoried),
    Turned(body::Turned),
    Health(body::Ailing),
    Unjudged(body::Unidentified),
    Closure(body::Needed),
}

impl Record {
    pub(super) fn encode(&self, class: Class) -> Vec<u8> {
        value(class.byte(), self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        parse(bytes)
    }

    /// The observation inside an observation or a denial.
    pub(super) const fn observed(&self) -> Option<&Observed> {
        match self {
            Self::Observation(observed) => Some(observed),
            Self::Denial(denied) => Some(&denied.observed),
            _ => None,
        }
    }

    /// Takes another occurrence of the same thing into the count; false when records of this kind are not counted.
    pub(super) fn count_in(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Observation(earlier), Self::Observation(later)) => earlier.count_in(later),
            (Self::Denial(earlier), Self::Denial(later)) => earlier.observed.count_in(&later.observed),
            (Self::Unjudged(earlier), Self::Unjudged(later)) => earlier.count_in(later),
            _ => return false,
        }
        true
    }

    pub(super) fn class(&self) -> Class {
        match self {
            Self::Denial(_) | Self::Turned(_) | Self::Unjudged(_) | Self::Closure(_) => Class::Kept,
            Self::Observation(observed) if observed.is_execution() => Class::Kept,
            Self::Observation(_) | Self::Coverage(_) | Self::Inventory(_) | Self::Health(_) => Class::Expendable,
        }
    }
}

impl From<ReportBody> for Record {
    fn from(body: ReportBody) -> Self {
        match body {
            ReportBody::Observation(observation) => Self::Observation(observation.into()),
            ReportBody::Denial(denial) => Self::Denial(denial.into()),
            ReportBody::Coverage(coverage) => Self::Coverage(coverage.into()),
            ReportBody::Inventory(inventory) => Self::Inventory(inventory.into()),
            ReportBody::Turned(turned) => Self::Turned(turned.into()),
            ReportBody::Health(health) => Self::Health(health.into()),
            ReportBody::Unjudged(unjudged) => Self::Unjudged(unjudged.into()),
            ReportBody::Closure(news) => Self::Closure(news.into()),
        }
    }
}

impl TryFrom<Record> for ReportBody {
    type Error = Unreadable;

    fn try_from(record: Record) -> Result<Self, Unreadable> {
        Ok(match record {
            Record::Observation(observed) => Self::Observation(observed.try_into()?),
            Record::Denial(denied) => Self::Denial(denied.try_into()?),
            Record::Coverage(covered) => Self::Coverage(covered.into()),
            Record::Inventory(inventoried) => Self::Inventory(inventoried.into()),
            Record::Turned(turned) => Self::Turned(turned.into()),
            Record::Health(ailing) => Self::Health(ailing.into()),
            Record::Unjudged(unidentified) => Self::Unjudged(unidentified.into()),
            Record::Closure(needed) => Self::Closure(needed.into()),
        })
    }
}

/// A value of this schema version.
pub(super) fn value(class: u8, content: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![VERSION, class, 0, 0, 0, 0];
    bytes = postcard::to_extend(content, bytes).expect("a growing vector takes whatever postcard writes");
    let length = u32::try_from(bytes.len() - HEADER_BYTES).unwrap_or(u32::MAX);
    bytes[2..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Reads what [`value`] wrote, in this or an earlier version.
pub(super) fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Unreadable> {
    let Some((header, content)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Unreadable::Length { expected: HEADER_BYTES, found: bytes.len() });
    };
    if header[0] != VERSION {
        return Err(Unreadable::Version(header[0]));
    }
    let expected = u32::from_le_bytes([header[2], header[3], header[4], header[5]]) as usize;
    if expected != content.len() {
        return Err(Unreadable::Length { expected, found: content.len() });
    }
    Ok(postcard::from_bytes(content)?)
}

#[cfg(test)]
mod tests;
