//! Whether dpkg is at work right now: files are then new before the database says so.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

use super::database::FOLDER;

/// Whether another process holds dpkg's lock. While it does, a file that does not fit its package proves nothing: dpkg puts
/// files in place before it writes their digests down.
#[must_use]
pub fn transaction_is_open(root: &Path) -> bool {
    held_lock(root).is_some()
}

/// The process that holds dpkg's lock, as far as it can be named from here.
#[must_use]
pub fn transaction_holder(root: &Path) -> Option<i32> {
    held_lock(root).map(|lock| lock.l_pid).filter(|pid| *pid > 0)
}

fn held_lock(root: &Path) -> Option<libc::flock> {
    let lock = File::open(root.join(FOLDER).join("lock")).ok()?;
    let mut range = libc::flock { l_type: libc::F_WRLCK as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&lock, FcntlArg::F_GETLK(&mut range)).ok()?;
    (libc::c_int::from(range.l_type) != libc::F_UNLCK).then_some(range)
}
