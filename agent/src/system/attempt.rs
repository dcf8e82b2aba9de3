//! For tests of the sandbox: what a helper that was taken over would try and what has no safe wrapper. Each gives the error number, 0 when
//! it went through.

use std::io;
use std::ptr::null_mut;

fn number(succeeded: bool) -> i32 {
    if succeeded { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
}

/// Executes a program in this process's place.
#[expect(unsafe_code, reason = "the safe wrappers do more than the one call")]
pub(crate) fn execute() -> i32 {
    let path = c"/bin/true";
    let arguments = [path.as_ptr(), std::ptr::null()];
    // SAFETY: path and arguments end with NUL and null, and outlive the call.
    number(unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr()) } == 0)
}

/// Makes a child, which ends at once.
#[expect(unsafe_code, reason = "a fork is unsafe in a program with threads")]
pub(crate) fn fork() -> i32 {
    // SAFETY: the child does nothing but end.
    match unsafe { libc::fork() } {
        // SAFETY: as above.
        0 => unsafe { libc::_exit(0) },
        child => number(child > 0),
    }
}

/// Maps memory that may be executed.
#[expect(unsafe_code, reason = "mapping memory is unsafe")]
pub(crate) fn map_executable() -> i32 {
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: new memory, where the kernel likes; nothing uses it.
    number(unsafe { libc::mmap(null_mut(), 4096, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) } != libc::MAP_FAILED)
}

/// Maps memory, and makes it executable afterwards.
#[expect(unsafe_code, reason = "mapping memory is unsafe")]
pub(crate) fn make_executable() -> i32 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new memory, where the kernel likes; nothing uses it.
    unsafe {
        let memory = libc::mmap(null_mut(), 4096, libc::PROT_READ, flags, -1, 0);
        number(libc::mprotect(memory, 4096, libc::PROT_READ | libc::PROT_EXEC) == 0)
    }
}
