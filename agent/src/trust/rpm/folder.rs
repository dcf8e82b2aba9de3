//! Where rpm keeps its database, and in which of its three formats.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::TrustError;

/// Folders below the root, newer customs first; one may be a link to the other.
pub(in super::super) const FOLDERS: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];

/// Bytes of a database at most; a large distribution's whole archive, installed, is below this.
pub(super) const DATABASE_BYTES_MAX: u64 = 2 << 30;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Of today.
    Sqlite,
    /// rpm's own, on SUSE.
    Ndb,
    /// Berkeley DB, up to RHEL 8 and its like.
    Bdb,
}

impl Format {
    /// The order in which rpm moved from one to the next, newest first: what a move left behind does not count.
    const ALL: [Self; 3] = [Self::Sqlite, Self::Ndb, Self::Bdb];

    const fn file(self) -> &'static str {
        match self {
            Self::Sqlite => "rpmdb.sqlite",
            Self::Ndb => "Packages.db",
            Self::Bdb => "Packages",
        }
    }
}

/// A database that is there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) format: Format,
    pub(super) file: PathBuf,
}

impl Place {
    /// The database below `root`.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let places = FOLDERS.iter().flat_map(|folder| Format::ALL.map(|format| (format, root.join(folder).join(format.file()))));
        places.map(|(format, file)| Self { format, file }).find(|place| fs::metadata(&place.file).is_ok())
    }

    /// The file that goes by the database's name and this ending.
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    /// Opens one of the database's files, which must be regular and within bounds.
    pub(super) fn open(path: &Path) -> Result<fs::File, TrustError> {
        let unreadable = |source| TrustError::Unreadable { path: path.to_owned(), source };
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("not a regular file")));
        }
        if metadata.len() > DATABASE_BYTES_MAX {
            return Err(TrustError::TooLarge { path: path.to_owned(), limit: DATABASE_BYTES_MAX });
        }
        Ok(file)
    }
}

/// Whether a change of this file says nothing of packages: locks, and what readers of the database leave behind.
pub(in super::super) fn is_noise(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.ends_with(".lock") || name.ends_with("-shm") || name.starts_with("__db.")
}
