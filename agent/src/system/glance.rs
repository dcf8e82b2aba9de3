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
    /// Number of the mount it was reached through, as in the mount table; `None` before Linux 5.8.
    pub mount: Option<u64>,
}

/// Looks at an open file; one opened by name only (O_PATH) will do. Never waits for a server.
///
/// # Errors
/// The kernel's.
pub fn glance(file: impl AsFd) -> io::Result<Glance> {
    look(file.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH)
}

/// Looks at the program that the process with this number runs now, wherever that lies. Never waits for a server.
///
/// # Errors
/// The kernel's; there is no such process, or it runs no program.
pub fn glance_at_program(pid: i32) -> io::Result<Glance> {
    let link = CString::new(format!("/proc/{pid}/exe"))?;
    look(libc::AT_FDCWD, &link, libc::AT_NO_AUTOMOUNT)
}

#[expect(unsafe_code, reason = "statx has no wrapper in nix")]
fn look(folder: RawFd, name: &CStr, flags: libc::c_int) -> io::Result<Glance> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_BASIC_STATS | libc::STATX_MNT_ID;
    let flags = flags | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the name ends with a zero byte, and the kernel writes one `statx` to memory of that size.
    Errno::result(unsafe { libc::statx(folder, name.as_ptr(), flags, mask, found.as_mut_ptr()) })?;
    // SAFETY: the call above succeeded; all zeros, with which it began, is a valid value of this struct of integers too.
    let found = unsafe { found.assume_init() };
    let changed = found.stx_ctime;
    Ok(Glance {
        device: makedev(u64::from(found.stx_dev_major), u64::from(found.stx_dev_minor)),
        inode: found.stx_ino,
        changed_ns: changed.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(changed.tv_nsec)),
        size: found.stx_size,
        mount: (found.stx_mask & libc::STATX_MNT_ID != 0).then_some(found.stx_mnt_id),
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
        let found = glance(&file).unwrap();
        assert_eq!(found, Glance { device: stat.dev(), inode: stat.ino(), changed_ns, size: 7, mount: found.mount });
    }

    #[test]
    fn a_program_is_found_by_its_process() {
        let own = glance(std::fs::File::open("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(glance_at_program(std::process::id().cast_signed()).unwrap(), own);
        assert!(glance_at_program(i32::MAX).is_err());
    }
}
