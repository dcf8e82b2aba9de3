//! The executable of a running process, opened so that no filesystem can hold whoever looks.
//!
//! `/proc/PID/exe` leads to the very file, whatever its path is by now. Opened for its name only (O_PATH), which asks the
//! filesystem nothing; only when its mount is known to be local does anything else happen to it.

use std::cell::Cell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::mount::{self, Mounts, Watching};

/// Bytes of other namespaces' mount tables read by one [`Search`]; who makes a namespace decides how long its table is.
const TABLES_BYTES_MAX: u64 = 64 << 20;

/// Opens the executable of `pid` by name only; `None` for kernel threads, ended processes, filesystems others answer for, and
/// whatever lies on a mount that this process's own table does not name. Costs the same whatever the process has mounted.
pub(super) fn find(pid: i32, mounts: &Mounts) -> Option<File> {
    let file = open_exe(pid)?;
    let mount = mounts.by_id(mount::id_of(&file)?)?;
    (mount.watching() == Watching::Watched).then_some(file)
}

/// Looks for executables in all mount namespaces, each process's own table read when ours does not name its mount.
#[derive(Debug)]
pub(super) struct Search<'a> {
    mounts: &'a Mounts,
    bytes_left: Cell<u64>,
}

impl<'a> Search<'a> {
    pub(super) const fn new(mounts: &'a Mounts) -> Self {
        Self { mounts, bytes_left: Cell::new(TABLES_BYTES_MAX) }
    }

    /// As [`find`], wherever the process lives, for as long as the tables already read were not too long.
    pub(super) fn find(&self, pid: i32) -> Option<File> {
        // The file keeps its mount's number from being given to another for as long as it is open.
        let file = open_exe(pid)?;
        let id = mount::id_of(&file)?;
        let watching = match self.mounts.by_id(id) {
            Some(mount) => mount.watching(),
            None => self.table(pid)?.by_id(id)?.watching(),
        };
        (watching == Watching::Watched).then_some(file)
    }

    fn table(&self, pid: i32) -> Option<Mounts> {
        let left = self.bytes_left.get();
        let path = format!("/proc/{pid}/mountinfo");
        let (mounts, bytes) = Mounts::read_at_most(Path::new(&path), left.min(mount::FOREIGN_BYTES_MAX)).ok()?;
        self.bytes_left.set(left.saturating_sub(bytes));
        Some(mounts)
    }
}

/// Opens the executable of `pid` by name only, wherever it lies; `None` for kernel threads and ended processes.
pub(super) fn open_exe(pid: i32) -> Option<File> {
    Some(File::from(open(link(pid).as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?))
}

/// What leads to the executable of `pid`.
pub(super) fn link(pid: i32) -> String {
    format!("/proc/{pid}/exe")
}

/// Opens what was found by name for reading; only what is known to lie on a watched filesystem, and only regular files.
pub(super) fn open_for_reading(found: &File) -> Option<File> {
    try_open_for_reading(found).ok()
}

/// As [`open_for_reading`], with the kernel's reason why not.
pub(super) fn try_open_for_reading(found: &File) -> Result<File, Errno> {
    if !found.metadata().is_ok_and(|file| file.is_file()) {
        return Err(Errno::EINVAL);
    }
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = open(link.as_str(), flags | OFlag::O_NOATIME, Mode::empty()).or_else(|_| open(link.as_str(), flags, Mode::empty()));
    opened.map(File::from)
}

/// Numbers of all processes there are now.
pub(super) fn running() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn our_own_executable_is_found_and_read() {
        let mounts = Mounts::read(Path::new(mount::MOUNTINFO)).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(running().contains(&pid));
        let found = find(pid, &mounts).unwrap();
        let read = open_for_reading(&found).unwrap();
        let own = std::fs::metadata(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(read.metadata().unwrap().ino(), own.ino());
    }

    #[test]
    fn a_process_on_an_unknown_mount_is_looked_up_in_its_own_table_by_a_search_alone() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let nothing = Mounts::default();
        assert!(find(pid, &nothing).is_none());
        let search = Search::new(&nothing);
        assert!(search.find(pid).is_some());
        let read = TABLES_BYTES_MAX - search.bytes_left.get();
        assert!(read > 0);
        search.bytes_left.set(1);
        assert!(search.find(pid).is_none(), "a search reads only so much");
        assert_eq!(search.bytes_left.get(), 0);
    }

    #[test]
    fn nobody_has_no_executable() {
        assert!(find(i32::MAX, &Mounts::default()).is_none());
        assert!(Search::new(&Mounts::default()).find(i32::MAX).is_none());
    }
}
