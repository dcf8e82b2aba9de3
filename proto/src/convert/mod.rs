//! Where wire types stop. Inwards (`TryFrom<v1::X>`) a message is parsed whole or refused with the field that is wrong, and every
//! limit of [`crate::limit`] is checked. Outwards (`From`) cannot fail: a text or list beyond its limit is cut there, so that a
//! message never comes into being that the other side would refuse for ever.

use std::fmt;

mod cut;
mod debug;
mod enrollment;
mod evidence;
mod field;
mod message;
mod policy;
mod report;
mod uplink;
mod word;

/// Why a message was refused. The sender is at fault: a bug, another version of the contract, or malice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fault}")]
pub struct ConvertError {
    /// The field, as `Message.field` of the `.proto` files.
    pub field: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Required and not there, or a oneof none of whose members is known here.
    Missing,
    /// A fixed number of bytes is required.
    WrongLength {
        /// Bytes required.
        expected: usize,
        /// Bytes there.
        got: usize,
    },
    /// More bytes than the limit.
    TooLong {
        /// The limit in bytes.
        max: usize,
        /// Bytes there.
        got: usize,
    },
    /// More elements than the limit.
    TooMany {
        /// The limit.
        max: usize,
        /// Elements there.
        got: usize,
    },
    /// A value this program has no meaning for: an enum member it does not know, or a number out of its range.
    Unknown(i64),
    /// Elements that must rise do not.
    Unordered,
    /// No absolute, normalised path.
    NotNormal,
    /// Not written in the form that the field has.
    Malformed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::WrongLength { expected, got } => write!(f, "{got} bytes where {expected} are required"),
            Self::TooLong { max, got } => write!(f, "{got} bytes where {max} are the limit"),
            Self::TooMany { max, got } => write!(f, "{got} elements where {max} are the limit"),
            Self::Unknown(value) => write!(f, "unknown value {value}"),
            Self::Unordered => f.write_str("not in rising order"),
            Self::NotNormal => f.write_str("not an absolute, normalised path"),
            Self::Malformed => f.write_str("malformed"),
        }
    }
}

impl Fault {
    pub(crate) const fn of(self, field: &'static str) -> ConvertError {
        ConvertError { field, fault: self }
    }
}
