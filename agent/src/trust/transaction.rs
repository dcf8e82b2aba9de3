//! Whether dpkg is at work right now: files are then new before the database says so.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

use super::database::FOLDER;

/// Whether another process holds dpkg's lock. While it does, a file that does not fit its package proves nothing: dpkg puts
/// files in place before it writes their digests down.
#[must_use]
pub fn transaction_is_open(root: &Path) -> bool {
    let Ok(lock) = File::open(root.join(FOLDER).join("lock")) else { return false };
    let mut range = libc::flock { l_type: libc::F_WRLCK as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&lock, FcntlArg::F_GETLK(&mut range)).is_ok() && libc::c_int::from(range.l_type) != libc::F_UNLCK
}
