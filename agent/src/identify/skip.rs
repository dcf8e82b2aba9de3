//! Why a file or folder was not looked at. Every one is counted, none is silent: what was skipped was never trusted either.

use nix::errno::Errno;

/// The reason, as counted in scan summaries and failure tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum SkipReason {
    /// Its permissions, or a security module, keep this process out.
    #[error("not readable by this process")]
    Unreadable,
    /// Gone between being listed and being opened.
    #[error("gone before it could be read")]
    Vanished,
    /// A socket, FIFO or device, or something that took a file's place.
    #[error("not a regular file")]
    NotRegular,
    /// Somebody kept changing it however often it was read again.
    #[error("changed while it was being read")]
    ChangedWhileRead,
    /// More bytes than the limit for digesting; it has no name, so no list and no package can vouch for it.
    #[error("larger than the limit for digesting")]
    TooLarge,
    /// Somebody holds a write lease on it, which makes every reader wait.
    #[error("kept from readers by a lease")]
    Leased,
    /// The disk or the file system failed.
    #[error("could not be read: input/output error")]
    Io,
    /// Its path has more bytes than the kernel itself would take.
    #[error("path longer than the kernel opens")]
    PathTooLong,
    /// So many folders lie around and above it that no room was left to remember them.
    #[error("folders too many and too deep")]
    TooDeep,
    /// A single file mounted over another, from a file system that is scanned where it belongs.
    #[error("mounted over from elsewhere")]
    MountedOver,
    /// Below a path that the settings leave out.
    #[error("excluded by the settings")]
    Excluded,
    /// The caller asked to stop; nothing is known of the file.
    #[error("stopped")]
    Stopped,
}

impl SkipReason {
    /// Every reason, in declaration order, for tables.
    pub const ALL: [Self; 12] = [
        Self::Unreadable,
        Self::Vanished,
        Self::NotRegular,
        Self::ChangedWhileRead,
        Self::TooLarge,
        Self::Leased,
        Self::Io,
        Self::PathTooLong,
        Self::TooDeep,
        Self::MountedOver,
        Self::Excluded,
        Self::Stopped,
    ];

    /// Whether a program may stand there of which nothing is known, so that a person should hear which.
    #[must_use]
    pub const fn leaves_unknown(self) -> bool {
        match self {
            Self::Unreadable | Self::ChangedWhileRead | Self::TooLarge | Self::Leased | Self::Io | Self::PathTooLong | Self::TooDeep => {
                true
            }
            Self::Vanished | Self::NotRegular | Self::MountedOver | Self::Excluded | Self::Stopped => false,
        }
    }

    /// The reason's word in JSON and tables.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::NotRegular => "not_regular",
            Self::ChangedWhileRead => "changed_while_read",
            Self::TooLarge => "too_large",
            Self::Leased => "leased",
            Self::Io => "io",
            Self::PathTooLong => "path_too_long",
            Self::TooDeep => "too_deep",
            Self::MountedOver => "mounted_over",
            Self::Excluded => "excluded",
            Self::Stopped => "stopped",
        }
    }
}

impl From<Errno> for SkipReason {
    fn from(error: Errno) -> Self {
        match error {
            Errno::EACCES | Errno::EPERM => Self::Unreadable,
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE => Self::Vanished,
            // O_NOFOLLOW met a symbolic link; a socket, or a FIFO nobody writes, was opened.
            Errno::ELOOP | Errno::ENXIO | Errno::ENODEV => Self::NotRegular,
            // Opened without waiting; a lease is given up, or taken away, within `/proc/sys/fs/lease-break-time`.
            Errno::EAGAIN => Self::Leased,
            Errno::ENAMETOOLONG => Self::PathTooLong,
            _ => Self::Io,
        }
    }
}

impl From<std::io::Error> for SkipReason {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or(Self::Io, |code| Errno::from_raw(code).into())
    }
}
