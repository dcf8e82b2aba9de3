//! One daemon per state folder: a lock that the kernel releases however the process ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held for as long as the daemon runs.
#[derive(Debug)]
pub struct InstanceLock {
    _lock: Flock<File>,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another doorward-agent already runs on this state folder; stop it first")]
    Held,
    /// The file could not be made or locked.
    #[error("cannot lock the state folder: {0}")]
    Io(#[source] io::Error),
}

impl InstanceLock {
    /// Takes the lock file `path` without waiting, making it when it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`] at once when somebody else has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(LockError::Io)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(LockError::Held),
            Err((_, error)) => Err(LockError::Io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = InstanceLock::take(&path).unwrap();
        assert!(matches!(InstanceLock::take(&path), Err(LockError::Held)));
        drop(first);
        InstanceLock::take(&path).unwrap();
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(InstanceLock::take(&path), Err(LockError::Io(_))));
    }
}
