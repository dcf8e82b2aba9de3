//! What was wrong with a store that was found on disk. None of it is fatal: the store is a memory of work done, and what it
//! cannot tell is done again.

/// Counted and logged by whoever opens the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreProblem {
    /// The generation file does not hold what was written; thrown away, so every candidate is read again.
    #[error("the identity store is damaged ({0}) and was thrown away: every candidate will be read again")]
    Damaged(&'static str),
    /// The generation file is of a version this program does not write.
    #[error("the identity store is of version {0}, which this program does not read, and was thrown away")]
    Foreign(u32),
    /// The end of an overlay is torn, as a kill or a power cut leaves it; everything before it was taken.
    #[error("the last {0} bytes of the identity store's overlay are torn and were dropped")]
    Torn(u64),
    /// An overlay belongs to another generation.
    #[error("an overlay of another identity store was thrown away")]
    StrangeOverlay,
    /// Another process writes this store; what is learnt is kept for this run only.
    #[error("another process holds the identity store: it is read, and what is learnt now is not kept")]
    Held,
    /// The folder can be read but not written.
    #[error("the identity store cannot be written ({0}): what is learnt now is not kept")]
    NotWritable(String),
    /// A file of the store could not be read.
    #[error("the identity store cannot be read ({0}) and is taken to be empty")]
    Unreadable(String),
}

impl StoreProblem {
    /// Its word in failure tables.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "identity_store_damaged",
            Self::Foreign(_) => "identity_store_foreign",
            Self::Torn(_) => "identity_store_torn",
            Self::StrangeOverlay => "identity_store_strange_overlay",
            Self::Held => "identity_store_held",
            Self::NotWritable(_) => "identity_store_not_writable",
            Self::Unreadable(_) => "identity_store_unreadable",
        }
    }
}
