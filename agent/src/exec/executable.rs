//! The executable of a running process, opened so that no filesystem can hold whoever looks.
//!
//! `/proc/PID/exe` leads to the very file, whatever its path is by now. Opened for its name only (O_PATH), which asks the
//! filesystem nothing; only when its mount is known to be local does anything else happen to it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::mount::{self, Mounts, Watching};

/// Opens the executable of `pid` by name only; `None` for kernel threads, ended processes and filesystems others answer for.
pub(super) fn find(pid: i32, mounts: &Mounts) -> Option<File> {
    let link = format!("/proc/{pid}/exe");
    let file = File::from(open(link.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?);
    let id = mount::id_of(&file)?;
    let watching = match mounts.by_id(id) {
        Some(mount) => mount.watching(),
        // Another mount namespace: only that process's own table names its mounts.
        None => Mounts::read(Path::new(&format!("/proc/{pid}/mountinfo"))).ok()?.by_id(id)?.watching(),
    };
    (watching == Watching::Watched).then_some(file)
}

/// Opens what [`find`] found for reading.
pub(super) fn open_for_reading(found: &File) -> Option<File> {
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(link.as_str(), flags | OFlag::O_NOATIME, Mode::empty()).or_else(|_| open(link.as_str(), flags, Mode::empty())).ok().map(File::from)
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
    fn a_process_on_an_unknown_mount_is_looked_up_in_its_own_table() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(find(pid, &Mounts::default()).is_some());
    }

    #[test]
    fn nobody_has_no_executable() {
        assert!(find(i32::MAX, &Mounts::default()).is_none());
    }
}
