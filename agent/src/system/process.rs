//! Another process named by descriptor, so that nothing learned under its number can belong to a successor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Whether the process behind a pidfd still runs. Anything but a clear yes counts as gone.
#[must_use]
pub fn is_alive(process: &OwnedFd) -> bool {
    !ends_within(process, PollTimeout::ZERO).unwrap_or(true)
}

/// Waits for the end of the process behind a pidfd; false when it still runs after `timeout`.
///
/// # Errors
/// `EINTR` when a signal came in between.
pub fn ends_within(process: &OwnedFd, timeout: impl Into<PollTimeout>) -> Result<bool, Errno> {
    poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], timeout.into()).map(|ready| ready > 0)
}

/// Ends the process behind a pidfd with SIGKILL, which it cannot refuse, even stopped or traced.
///
/// # Errors
/// `ESRCH` when it has ended already; `EPERM` without CAP_KILL when it is somebody else's.
pub fn kill(process: &OwnedFd) -> io::Result<()> {
    send(process, libc::SIGKILL)
}

/// Goes all the way of [`kill`] but for the signal: whether it would be allowed now, and its code is in memory afterwards.
///
/// # Errors
/// As [`kill`]; `EBADF` when the descriptor is no pidfd.
pub fn rehearse_kill(process: &OwnedFd) -> io::Result<()> {
    send(process, 0)
}

#[expect(unsafe_code, reason = "pidfd_send_signal has no wrapper in nix")]
fn send(process: &OwnedFd, signal: libc::c_int) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: `pidfd_send_signal(2)` with a null `info` reads no memory of ours; the descriptor is borrowed and so open.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, no_info, 0) })?;
    Ok(())
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
        rehearse_kill(&process).unwrap();
        assert!(is_alive(&process), "a rehearsal ends nothing");
        kill(&process).unwrap();
        assert!(ends_within(&process, PollTimeout::from(10_000_u16)).unwrap());
        child.wait().unwrap();
        assert!(!is_alive(&process));
        assert_eq!(kill(&process).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn numbers_that_name_no_process_open_nothing() {
        assert!(open(0).is_none());
        assert!(open(-1).is_none());
        assert!(open(i32::MAX).is_none());
    }
}
