//! What a child process gets from this one: exactly the descriptors it is given, and nothing else.
//!
//! Everything this program opens is close-on-exec, but a fork holds it until the exec succeeds, and that exec may itself be held
//! by the fanotify group of its parent. So the child closes everything before it executes.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Number under which a child finds the first descriptor it is given; those of the standard streams come before it.
const FIRST: RawFd = 3;
/// Descriptors one child can be given.
const GIVEN_MAX: usize = 8;
/// Lowest number for copies on the way to their final number, above all of those.
const ASIDE: RawFd = FIRST + GIVEN_MAX as RawFd;

/// Makes `command`'s process start with its standard streams and `given`, numbered from 3 on, as its only descriptors. The command
/// can be spawned once or more; it keeps `given` open on this side until it is dropped.
///
/// A program that cannot be executed is then not reported by `spawn`: the child ends, and its end says so. More than eight
/// descriptors do not compile.
#[expect(unsafe_code, reason = "the descriptors of a child are arranged between fork and exec")]
pub fn give_only<const N: usize>(command: &mut Command, given: [OwnedFd; N]) {
    const { assert!(N <= GIVEN_MAX) };
    // SAFETY: what runs between fork and exec are dup, fcntl and close_range on numbers that are open there, on the stack alone: no
    // allocation, no lock, so it does not matter which of them other threads held at the fork.
    unsafe { command.pre_exec(move || arrange(&given)) };
}

/// Runs in the child.
#[expect(unsafe_code, reason = "dup2 and close_range act on numbers")]
fn arrange<const N: usize>(given: &[OwnedFd; N]) -> io::Result<()> {
    let mut copies = [-1; N];
    for (copy, fd) in copies.iter_mut().zip(given) {
        *copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(ASIDE))?;
    }
    let mut next = FIRST;
    for copy in copies {
        // SAFETY: dup2 touches no memory. It may close a descriptor of ours, but this process only ever goes on to exec or to exit.
        Errno::result(unsafe { libc::dup2(copy, next) })?;
        next += 1;
    }
    close_range(next, RawFd::MAX)
}

/// Takes over the descriptors that [`give_only`] gave this process. Call it once, at the start; a second call fails. They are
/// close-on-exec from then on. Closes the standard streams, which a process that speaks to nobody has no use for.
///
/// # Errors
/// `InvalidInput` when this process was not started by [`give_only`] with `N` descriptors.
#[expect(unsafe_code, reason = "inherited descriptors are only known by their number")]
pub fn take<const N: usize>() -> io::Result<[OwnedFd; N]> {
    const { assert!(N <= GIVEN_MAX) };
    let number = |index: usize| FIRST + RawFd::try_from(index).unwrap_or(RawFd::MAX - FIRST);
    for index in 0..N {
        // SAFETY: F_GETFD on a number, open or not, touches no memory.
        if unsafe { libc::fcntl(number(index), libc::F_GETFD) } != 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
    }
    // SAFETY: each is open and not close-on-exec. This program opens everything close-on-exec, so they were inherited and nothing in
    // it owns them yet.
    let taken = std::array::from_fn(|index| unsafe { OwnedFd::from_raw_fd(number(index)) });
    for fd in &taken {
        debug_assert!(fd.as_raw_fd() >= FIRST);
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    close_range(0, FIRST - 1)?;
    Ok(taken)
}

#[expect(unsafe_code, reason = "neither std nor nix knows close_range")]
fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: the call takes three integers. Both callers close what nothing uses afterwards: the child of a fork that is about to
    // exec, and the standard streams, whose users in std take a closed one for silence.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}
