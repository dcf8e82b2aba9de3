//! Another process named by descriptor, so that nothing learned under its number can belong to a successor.

use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Whether the process behind a pidfd still runs. Anything but a clear yes counts as gone.
#[must_use]
pub fn is_alive(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(0))
}

/// Opens a descriptor for the process that has this number now; `None` when there is none or the kernel is too old.
#[must_use]
pub fn open(pid: i32) -> Option<OwnedFd> {
    if pid <= 0 {
        return None;
    }
    own(pid)
}

#[expect(unsafe_code, reason = "pidfd_open has no wrapper in nix")]
fn own(pid: i32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: `pidfd_open(2)` takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the call above succeeded and returned a descriptor that nothing else knows.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_alive_until_it_has_ended() {
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let process = open(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(is_alive(&process));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(&process));
    }

    #[test]
    fn numbers_that_name_no_process_open_nothing() {
        assert!(open(0).is_none());
        assert!(open(-1).is_none());
        assert!(open(i32::MAX).is_none());
    }
}
