//! Opening files that may be anything, without waiting for anybody, following a link or leaving a trace.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::SkipReason;

/// Opens `name` in `folder` for reading. A FIFO or device that took a file's place is opened without waiting, and told
/// apart by the caller's `fstat`; a symbolic link is refused.
///
/// # Errors
/// The reason to skip it.
pub fn open_at(folder: impl AsFd, name: &CStr) -> Result<File, SkipReason> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match openat(&folder, name, flags | OFlag::O_NOATIME, Mode::empty()) {
        // O_NOATIME is for the owner and for CAP_FOWNER.
        Err(Errno::EPERM) => openat(&folder, name, flags, Mode::empty()),
        outcome => outcome,
    }
    .map(File::from)
    .map_err(SkipReason::from)
}
