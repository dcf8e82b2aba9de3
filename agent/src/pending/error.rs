//! What can go wrong with the store, for those who add to it, those who open it, and those who read about it later.

use std::io;
use std::path::PathBuf;

/// Why reports were not taken. None of them is on disk then, as far as the store can tell; whoever tries again may be counted twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PendingError {
    /// The bound is reached and nothing less important can make room: wait until the CMS has taken some.
    #[error("the store of unsent reports is full ({records} reports, {bytes} bytes): it empties when the management server is reached")]
    Full {
        /// Reports in the store.
        records: u64,
        /// Bytes of their values.
        bytes: u64,
    },
    /// The file system has no room to spare: make some.
    #[error("no room for reports on the file system of {}: {free} bytes free, {needed} needed; free some space", folder.display())]
    DiskFull {
        /// The store's folder.
        folder: PathBuf,
        /// Bytes an unprivileged writer could still use.
        free: u64,
        /// Bytes that have to stay free.
        needed: u64,
    },
    /// The store failed underneath and is being opened again: try again soon.
    #[error("the store of unsent reports failed and is being opened again: {why}")]
    Broken {
        /// What sled or the file system said.
        why: String,
    },
    /// One report exceeds [`super::limit::REPORT_BYTES_MAX`], or one call [`super::limit::ADD_BODIES_MAX`]: the caller's mistake.
    #[error("{what} is {size}, more than the {max} that are kept at once")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The bound.
        max: usize,
    },
    /// No answer within [`super::limit::REQUEST_DEADLINE_MS`]: the disk is very slow. The reports may still be written.
    #[error("the store of unsent reports did not answer in time; is the disk overloaded?")]
    Timeout,
    /// The store was closed: the agent is stopping.
    #[error("the store of unsent reports is closed because the agent is stopping")]
    Closed,
    /// An acknowledgement of what was never handed out: the CMS knows more than this store, or makes it up.
    #[error("acknowledgement up to {acknowledged}, but nothing beyond {handed_out} was handed out")]
    NotHandedOut {
        /// What was acknowledged.
        acknowledged: u64,
        /// What could have been.
        handed_out: u64,
    },
}

impl PendingError {
    /// The failure's code in the failure table.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Full { .. } => "pending_full",
            Self::DiskFull { .. } => "pending_disk_full",
            Self::Broken { .. } => "pending_broken",
            Self::TooLarge { .. } => "pending_too_large",
            Self::Timeout => "pending_timeout",
            Self::Closed => "pending_closed",
            Self::NotHandedOut { .. } => "pending_not_handed_out",
        }
    }
}

/// Why there is no store at all. A store that is merely damaged is not among these: it is put aside, see [`Recovery`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This program was linked so that sled would not sync: a fault of the build.
    #[error("this build of the agent would not write reports to disk safely (sync_file_range is not replaced); install a proper build")]
    UnsafeBuild,
    /// Another process has the store.
    #[error("another doorward-agent uses {}; stop it first", .0.display())]
    InUse(PathBuf),
    /// The folder or a file in it cannot be used.
    #[error("cannot use the folder {}: {source}; check that it exists on a writable file system with free space", folder.display())]
    Folder {
        /// The store's folder.
        folder: PathBuf,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// No thread, no randomness, or the thread ended.
    #[error("cannot start the store's thread: {0}")]
    Thread(#[source] io::Error),
    /// Recovery did not end within [`super::limit::OPEN_DEADLINE_MS`].
    #[error("opening the store in {} takes too long; is the disk overloaded? If it stays so, stop the agent and move the folder away", .0.display())]
    TooSlow(PathBuf),
}

/// What had to be done to have a store at all. Worth an error in the log, a count and a health report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Recovery {
    /// It would not open.
    #[error("the store of unsent reports would not open ({why}); it was put aside as {} and an empty one begun", to.display())]
    Quarantined {
        /// Where the old one is.
        to: PathBuf,
        /// What sled said.
        why: String,
    },
    /// It opened and held nothing, not even its own name.
    #[error("the store of unsent reports came back empty; what is left of it was put aside as {} and an empty one begun", to.display())]
    CameBackEmpty {
        /// Where the old one is.
        to: PathBuf,
    },
    /// It opened in a state before its last opening: something was lost from its end.
    #[error("the store of unsent reports is older than it should be (opening {found} instead of {expected}); its newest reports are lost")]
    RolledBack {
        /// Number of openings noted beside it.
        expected: u64,
        /// Number of openings noted in it.
        found: u64,
    },
    /// Single reports could not be read.
    #[error("{count} unsent reports could not be read and were dropped ({why})")]
    Unreadable {
        /// How many.
        count: u64,
        /// What the first one lacked.
        why: String,
    },
}

impl Recovery {
    /// The failure's code in the failure table.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Quarantined { .. } => "pending_quarantined",
            Self::CameBackEmpty { .. } => "pending_came_back_empty",
            Self::RolledBack { .. } => "pending_rolled_back",
            Self::Unreadable { .. } => "pending_unreadable",
        }
    }
}

/// Inside the store: either sled failed, and with it the store as it is open now, or the request was refused and all is well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] PendingError),
}
