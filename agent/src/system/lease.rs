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
/// reading only. The lease is given back before returning, so no writer ever waits for it longer than these calls take; one that
/// [`take`] took on this open file before stays.
///
/// # Errors
/// `EACCES` for somebody else's file without `CAP_LEASE`; `EINVAL` where the file system knows no leases.
pub fn has_no_writer(file: impl AsFd) -> io::Result<bool> {
    if is_held(&file) {
        return Ok(true);
    }
    let is_taken = take(&file)?;
    if is_taken {
        set(file, libc::F_SETLEASE, libc::F_UNLCK)?;
    }
    Ok(is_taken)
}

/// As [`has_no_writer`], but keeps the lease until every descriptor of this open file is closed: whoever opens the file for writing
/// or truncates it waits for as long, and an execution begun meanwhile fails with ETXTBSY rather than run what he writes.
///
/// # Errors
/// As for [`has_no_writer`].
pub fn take(file: impl AsFd) -> io::Result<bool> {
    set(&file, F_SETSIG, BREAK_SIGNAL)?;
    match set(file, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes a write lease, for as long as `file` is open: whoever opens the file meanwhile waits for it to be given up. The daemon never
/// does; the project's tests keep it from a file so.
///
/// # Errors
/// As for [`has_no_writer`], and `EAGAIN` when somebody else has the file open.
pub fn hold_for_writing(file: impl AsFd) -> io::Result<()> {
    set(&file, F_SETSIG, BREAK_SIGNAL)?;
    set(file, libc::F_SETLEASE, libc::F_WRLCK)?;
    Ok(())
}

/// Ends the lease of [`take`]; nothing happens when it has ended already.
pub fn give_back(file: impl AsFd) {
    let _ = set(file, libc::F_SETLEASE, libc::F_UNLCK);
}

/// Whether the lease of [`take`] is still whole: nobody waits for it to end.
#[must_use]
pub fn is_held(file: impl AsFd) -> bool {
    set(file, libc::F_GETLEASE, 0) == Ok(libc::F_RDLCK)
}

#[expect(unsafe_code, reason = "leases are not wrapped by nix")]
fn set(file: impl AsFd, command: libc::c_int, argument: libc::c_int) -> Result<libc::c_int, Errno> {
    // SAFETY: fcntl with these commands takes an int and touches no memory of ours; the descriptor is borrowed, so it is open for as
    // long as this call runs.
    Errno::result(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, argument) })
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::OpenOptionsExt;

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
        assert!(!is_held(&reader) && take(&reader).unwrap() && is_held(&reader));
        assert!(has_no_writer(&reader).unwrap() && is_held(&reader), "asking does not give back what is kept");
        let refused = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EAGAIN), "a lease that is kept keeps writers away");
        assert!(!is_held(&reader), "somebody waited for it");
        drop(reader);
        // Given back: a writer is not made to wait.
        OpenOptions::new().write(true).open(&path).unwrap();
    }
}
