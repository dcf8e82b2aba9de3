//! Whether a package manager is at work right now: files are then new before its database says so.

use std::fs::File;
use std::path::{Path, PathBuf};

use doorward_policy::PackageManager;
use nix::fcntl::{FcntlArg, fcntl};

use super::{database, rpm};

/// Whether another process holds a package manager's lock. While it does, a file that does not fit its package proves nothing:
/// files are put in place before their digests are written down.
#[must_use]
pub fn transaction_is_open(root: &Path) -> bool {
    locks(root).any(|(_, lock, wanted)| held(&lock, wanted).is_some())
}

/// The managers that are at work, each with the process that holds its lock, as far as it can be named from here.
pub fn transaction_holders(root: &Path) -> impl Iterator<Item = (PackageManager, i32)> {
    locks(root).filter_map(|(manager, lock, wanted)| Some((manager, held(&lock, wanted)?.l_pid))).filter(|(_, pid)| *pid > 0)
}

/// Each manager's lock, and the kind of lock that only its work stands in the way of: rpm's readers share theirs.
fn locks(root: &Path) -> impl Iterator<Item = (PackageManager, PathBuf, libc::c_int)> {
    let dpkg = (PackageManager::Dpkg, root.join(database::FOLDER).join("lock"), libc::F_WRLCK);
    let rpm = rpm::FOLDERS.map(|folder| (PackageManager::Rpm, root.join(folder).join(".rpm.lock"), libc::F_RDLCK));
    std::iter::once(dpkg).chain(rpm)
}

/// What stands in the way of a lock of the wanted kind. Takes none, and so stands in nobody's way.
fn held(lock: &Path, wanted: libc::c_int) -> Option<libc::flock> {
    let lock = File::open(lock).ok()?;
    let mut range = libc::flock { l_type: wanted as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&lock, FcntlArg::F_GETLK(&mut range)).ok()?;
    (libc::c_int::from(range.l_type) != libc::F_UNLCK).then_some(range)
}
