//! Why a publisher's signature does not count, as far as a host can tell without any list.

use serde::{Deserialize, Serialize};

/// Reasons, from what the content shows to what the chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// The content is not what was signed.
    Altered,
    /// The signature value is not by the key it names.
    BadSignature,
    /// MD5, SHA-1, or a key too short to prove anything.
    Weak,
    /// Something in the file is not covered.
    Incomplete,
    /// Another reader would find something in the file that the signature does not speak of.
    Ambiguous,
    /// Not what its format allows.
    Malformed,
    /// A form or an algorithm nobody here reads.
    Unsupported,
    /// Beyond a limit of the reader.
    TooLarge,
    /// The file could not be read to its end in time.
    Unread,
    /// By a key that no file on the host names.
    UnknownKey,
    /// The certificate is not for this.
    WrongUse,
    /// The chain ends at no anchor the site set.
    NoAnchor,
    /// Something in the chain is not as it must be.
    BrokenChain,
    /// The certificate was not valid yet.
    NotYetValid,
    /// The certificate had ended, and no time stamp that counts says that it was signed before.
    Expired,
}

impl Flaw {
    /// Every flaw, in declaration order.
    pub const ALL: [Self; 15] = [
        Self::Altered,
        Self::BadSignature,
        Self::Weak,
        Self::Incomplete,
        Self::Ambiguous,
        Self::Malformed,
        Self::Unsupported,
        Self::TooLarge,
        Self::Unread,
        Self::UnknownKey,
        Self::WrongUse,
        Self::NoAnchor,
        Self::BrokenChain,
        Self::NotYetValid,
        Self::Expired,
    ];

    /// What is wrong, to be read after "signed by NAME, but".
    #[must_use]
    pub const fn finding(self) -> &'static str {
        match self {
            Self::Altered => "the content is not what was signed",
            Self::BadSignature => "the signature is not valid for this content",
            Self::Weak => "with MD5, SHA-1 or a short key, which prove nothing",
            Self::Incomplete => "the signature does not cover all of the file",
            Self::Ambiguous => "the file can be taken for something the signature does not speak of",
            Self::Malformed => "the signature cannot be read as what it claims to be",
            Self::Unsupported => "the signature is of a form this program does not read",
            Self::TooLarge => "the file or its signature is larger than this program reads",
            Self::Unread => "the file could not be read to its end in time",
            Self::UnknownKey => "with a key that no file on this host names",
            Self::WrongUse => "its certificate is not for signing code",
            Self::NoAnchor => "its chain ends at no trusted anchor",
            Self::BrokenChain => "its chain is not valid",
            Self::NotYetValid => "its certificate was not valid yet",
            Self::Expired => "its certificate had ended, and no time stamp that counts says that it was signed before",
        }
    }
}
