//! One form for every path of the database: relative to the root, plain names only.

use super::Fault;

/// Longest path taken from a line, in bytes: what the kernel opens (`PATH_MAX` without its NUL).
pub const PATH_BYTES_MAX: usize = 4095;

/// Takes what dpkg's own lookup takes off (`/` and `./` in front, one `/` behind) and refuses what no plain path has.
/// The root itself comes out empty.
pub(crate) fn relative(path: &[u8]) -> Result<&[u8], Fault> {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"/").or_else(|| path.strip_prefix(b"./")) {
        path = rest;
    }
    let path = if path == b"." { b"" } else { path.strip_suffix(b"/").unwrap_or(path) };
    if path.len() > PATH_BYTES_MAX {
        return Err(Fault::PathTooLong);
    }
    let is_plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
    if path.is_empty() || path.split(|byte| *byte == b'/').all(is_plain) { Ok(path) } else { Err(Fault::PathNotPlain) }
}

/// The same for a file, which the root is not.
pub(crate) fn relative_file(path: &[u8]) -> Result<&[u8], Fault> {
    match relative(path)? {
        b"" => Err(Fault::PathMissing),
        path => Ok(path),
    }
}

/// The same where dpkg insists on a leading slash.
pub(crate) fn absolute_file(path: &[u8]) -> Result<&[u8], Fault> {
    if path.starts_with(b"/") { relative_file(path) } else { Err(Fault::PathNotAbsolute) }
}
