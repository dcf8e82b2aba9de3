//! Extended attributes of open files, which nix does not wrap.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// Whether an access control list stands beside the permission bits. What cannot be told counts as yes.
#[must_use]
pub fn has_access_list(file: impl AsFd) -> bool {
    !matches!(size(file), Err(Errno::ENODATA | Errno::EOPNOTSUPP))
}

#[expect(unsafe_code, reason = "fgetxattr has no wrapper in nix")]
fn size(file: impl AsFd) -> Result<isize, Errno> {
    let name = c"system.posix_acl_access";
    // SAFETY: the name ends with a zero byte; with no room the call writes nothing and returns the size.
    Errno::result(unsafe { libc::fgetxattr(file.as_fd().as_raw_fd(), name.as_ptr(), std::ptr::null_mut(), 0) })
}

/// The IMA attribute; `None` when there is none, it cannot be read, or it is longer than `bytes_max`.
#[must_use]
#[expect(unsafe_code, reason = "fgetxattr has no wrapper in nix")]
pub fn ima(file: impl AsFd, bytes_max: usize) -> Option<Vec<u8>> {
    let mut value = vec![0_u8; bytes_max];
    let name = c"security.ima";
    // SAFETY: the name ends with a zero byte, and the call writes at most as many bytes as the vector has.
    let count =
        Errno::result(unsafe { libc::fgetxattr(file.as_fd().as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) }).ok()?;
    value.truncate(usize::try_from(count).ok()?);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_has_no_list() {
        assert!(!has_access_list(tempfile::tempfile().unwrap()));
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(!has_access_list(&reader), "a pipe knows no lists");
    }
}
