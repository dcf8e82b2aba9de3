//! One server for each state folder: a second one, started by mistake, would change the first one's database before it found that
//! anything else is taken. The lock is the kernel's and goes with the process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file that is locked; it stays, empty.
const LOCK_FILE: &str = "serve.lock";

/// Why the folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A server runs on it.
    #[error("another doorward-cms serves from {folder}; stop it first", folder = folder.display())]
    Taken {
        /// The state folder.
        folder: PathBuf,
    },
    /// The file cannot be made or locked.
    #[error("cannot lock {path}: {source}; check that `doorward-cms init` was run and that the service's user owns the state folder", path = path.display())]
    File {
        /// The lock.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The state folder, held until this is dropped.
#[derive(Debug)]
pub struct StateLock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl StateLock {
    /// Takes the folder, or says at once who has it.
    ///
    /// # Errors
    /// See [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(LOCK_FILE);
        let failed = |source| LockError::File { path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken { folder: folder.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_server_and_is_free_when_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateLock::take(folder.path()).unwrap();
        assert!(matches!(StateLock::take(folder.path()), Err(LockError::Taken { .. })));
        drop(first);
        StateLock::take(folder.path()).unwrap();
        assert!(matches!(StateLock::take(&folder.path().join("none")), Err(LockError::File { .. })));
    }
}
