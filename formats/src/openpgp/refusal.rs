//! Why a signature does not count.

use doorward_policy::KeyFingerprint;

/// The reason that says most, where there are several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a text inside a signature, or with something outside of it.
    #[error("not a signed text: {0}")]
    NotSigned(&'static str),
    /// The signature's own bytes are damaged, or there are too many.
    #[error("its signature is damaged")]
    Damaged,
    /// Nothing here is signed by a key that is known.
    #[error("signed by {0}, which is in no keyring that counts")]
    UnknownKey(String),
    /// A known key signed something, but it does not count.
    #[error("signed by {key}, but {fault}")]
    Faulty {
        /// The primary key.
        key: KeyFingerprint,
        /// Why not.
        fault: Fault,
    },
}

/// Why the signature of a known key does not count. In rising order of how much it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// Other bytes were signed, or another key did it.
    #[error("the signature is not of these bytes")]
    Mismatch,
    /// Signatures over something else than data.
    #[error("the signature is of a kind that signs no data")]
    Kind,
    /// MD5, SHA-1 and the like.
    #[error("the signature is made with a digest that does not count")]
    WeakHash,
    /// DSA, short RSA, or something unknown.
    #[error("the key is of a kind or length that does not count")]
    WeakKey,
    /// No valid signature of the key on itself, or of the primary key and the subkey on each other.
    #[error("nothing that counts binds the key that signed to its owner")]
    Unbound,
    /// A key for something else.
    #[error("the key is not meant for signing")]
    NotForSigning,
    /// Later than now.
    #[error("the signature or the key is from the future")]
    Future,
    /// The signature's own time is over.
    #[error("the signature has expired")]
    SignatureExpired,
    /// The key's time is over.
    #[error("the key has expired")]
    KeyExpired,
    /// Its owner withdrew it.
    #[error("the key was revoked")]
    Revoked,
}
