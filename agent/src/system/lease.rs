//! Asking the kernel whether anybody could be writing a file, by way of a read lease held for an instant. nix does not
//! wrap leases; what the answer is worth is told in `identify`.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Sent to the holder when somebody opens the file for writing just then. Unlike the usual SIGIO, whose default action ends
/// the process, its default action is nothing.
const BREAK_SIGNAL: libc::c_int = libc::SIGURG;

/// `F_SETSIG` of `<linux/fcntl.h>`, the same on all architectures, which libc lacks for glibc.
const F_SETSIG: libc::c_int = 10;

/// Whether at this instant nobody has the file open for writing or mapped shared and writable. `file` must be open for
/// reading only. The lease is given back before returning, so no writer ever waits for it longer than these calls take.
///
/// # Errors
/// `EACCES` for somebody else's file without `CAP_LEASE`; `EINVAL` where the file system knows no leases.
#[expect(unsafe_code, reason = "leases are not wrapped by nix")]
pub fn has_no_writer(file: impl AsFd) -> io::Result<bool> {
    let lease = |command, argument: libc::c_int| {
        // SAFETY: fcntl with these commands takes an int and touches no memory of ours; the descriptor is borrowed, so it is
        // open for as long as this closure runs.
        Errno::result(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, argument) })
    };
    lease(F_SETSIG, BREAK_SIGNAL)?;
    match lease(libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(_) => {
            lease(libc::F_SETLEASE, libc::F_UNLCK)?;
            Ok(true)
        }
        Err(Errno::EAGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use super::*;

    #[test]
    fn an_open_writer_is_noticed_for_as_long_as_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let writer = OpenOptions::new().create_new(true).write(true).open(&path).unwrap();
        let reader = File::open(&path).unwrap();
        match has_no_writer(&reader) {
            Ok(alone) => assert!(!alone),
            Err(error) => return eprintln!("SKIPPED: leases because {} knows none: {error}", folder.path().display()),
        }
        drop(writer);
        assert!(has_no_writer(&reader).unwrap());
        // Given back: a writer is not made to wait.
        OpenOptions::new().write(true).open(&path).unwrap();
    }
}
