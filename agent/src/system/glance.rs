//! What is known of a file without asking the server, or the program, that answers for its file system.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::stat::makedev;

/// An inode as the kernel remembers it, which on a file system of somebody else's may be out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Glance {
    /// As `st_dev`.
    pub device: u64,
    /// As `st_ino`.
    pub inode: u64,
    /// As `st_ctime`, in nanoseconds since 1970.
    pub changed_ns: i64,
    /// Bytes.
    pub size: u64,
}

/// Looks at an open file; one opened by name only (O_PATH) will do. Never waits for a server.
///
/// # Errors
/// The kernel's.
pub fn glance(file: impl AsFd) -> io::Result<Glance> {
    look(file.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH)
}

/// Looks at what a process runs, wherever it lies. Never waits for a server.
///
/// # Errors
/// The kernel's; kernel threads and processes that ended run nothing.
pub fn glance_at_executable(pid: i32) -> io::Result<Glance> {
    let path = CString::new(format!("/proc/{pid}/exe"))?;
    look(libc::AT_FDCWD, &path, 0)
}

#[expect(unsafe_code, reason = "statx has no wrapper in nix")]
fn look(folder: RawFd, path: &CStr, flags: libc::c_int) -> io::Result<Glance> {
    let flags = flags | libc::AT_STATX_DONT_SYNC;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_BASIC_STATS;
    // SAFETY: the path is a string that ends with a zero byte, and the kernel writes one `statx` to memory of that size.
    Errno::result(unsafe { libc::statx(folder, path.as_ptr(), flags, mask, found.as_mut_ptr()) })?;
    // SAFETY: the call above succeeded; all zeros, with which it began, is a valid value of this struct of integers too.
    let found = unsafe { found.assume_init() };
    let changed = found.stx_ctime;
    Ok(Glance {
        device: makedev(u64::from(found.stx_dev_major), u64::from(found.stx_dev_minor)),
        inode: found.stx_ino,
        changed_ns: changed.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(changed.tv_nsec)),
        size: found.stx_size,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn it_is_what_stat_says_of_a_local_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"seven..").unwrap();
        let stat = file.metadata().unwrap();
        let changed_ns = stat.ctime() * 1_000_000_000 + stat.ctime_nsec();
        assert_eq!(glance(&file).unwrap(), Glance { device: stat.dev(), inode: stat.ino(), changed_ns, size: 7 });
    }
}
