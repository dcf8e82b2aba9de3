//! Files that hold nothing a kernel or a loader would run, by inode state: opened all the time, and looked at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::identify::Identity;

/// Files remembered; at some 60 bytes each this stays below 8 MiB. All are forgotten when there is no more room.
const FILES_MAX: usize = 131_072;

/// What is known of such a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Nobody but root may write it and it is no text either, so that the kernel need not tell of its opens: no interpreter is fed
    /// with it.
    pub(super) is_silent: bool,
}

/// The memory. The lock is never held across anything but a look.
#[derive(Debug, Default)]
pub(super) struct Plain(Mutex<HashMap<Identity, Known>>);

impl Plain {
    pub(super) fn known(&self, identity: &Identity) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(identity).copied()
    }

    pub(super) fn remember(&self, identity: Identity, known: Known) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= FILES_MAX {
            files.clear();
        }
        files.insert(identity, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::FilesystemId;

    #[test]
    fn room_is_bounded() {
        let plain = Plain::default();
        let identity = |inode| Identity { filesystem: FilesystemId(1), inode, changed_ns: 0, size: 1 };
        for inode in 0..=FILES_MAX as u64 {
            plain.remember(identity(inode), Known { is_silent: false });
        }
        assert_eq!(plain.known(&identity(0)), None);
        assert_eq!(plain.known(&identity(FILES_MAX as u64)), Some(Known { is_silent: false }));
    }
}
