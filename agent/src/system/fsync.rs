//! Makes sled's flush mean what it says. sled 0.34 calls `sync_file_range`, which moves bytes towards the disk and promises
//! nothing about them; when the call does not exist it falls back to a real fsync. So this program defines the symbol itself
//! and says that it does not exist. In simulated power cuts half of the stores were lost without this and none with it.
//! `pending` refuses to start when the definition did not win at link time; see `agent/tests/durability`.

use std::io;

use libc::{c_int, c_uint, off64_t};

/// Stands in for the C library's function for every caller in this program, and fails with ENOSYS.
// SAFETY: the signature is the C library's own, so callers pass what it expects; nobody in this program may rely on the
// original, and its only known caller, sled, documents ENOSYS as the case in which it calls fsync instead.
#[expect(unsafe_code, reason = "taking the place of a C function needs an exported C symbol")]
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(_fd: c_int, _offset: off64_t, _bytes: off64_t, _flags: c_uint) -> c_int {
    // SAFETY: __errno_location returns this thread's errno, which is always valid to write.
    unsafe { *libc::__errno_location() = libc::ENOSYS };
    -1
}

/// Whether a caller that links against the C library's `sync_file_range` really reaches the one above. On a bad link the kernel
/// answers for the impossible descriptor with EBADF, and every flush of sled would be an empty promise.
#[must_use]
pub fn flush_means_fsync() -> bool {
    // SAFETY: no pointers are passed; a descriptor of -1 is refused by either implementation.
    #[expect(unsafe_code, reason = "the check has to go through the same foreign symbol that sled calls")]
    let result = unsafe { libc::sync_file_range(-1, 0, 0, 0) };
    result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sled_reaches_our_symbol_and_so_calls_fsync() {
        assert!(super::flush_means_fsync());
    }
}
