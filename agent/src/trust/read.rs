//! Reading the database's files, each within a bound.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::TrustError;

/// The status file has some kilobytes a package; a large distribution's whole archive is below this.
pub(super) const STATUS_BYTES_MAX: u64 = 128 << 20;

/// Lists and digests of one package; kernels' and office suites' are below one megabyte.
pub(super) const INFO_BYTES_MAX: u64 = 32 << 20;

/// Reads a whole regular file into `into`, replacing what is there; `Ok(false)` when there is none.
pub(super) fn whole(path: &Path, limit: u64, into: &mut Vec<u8>) -> Result<bool, TrustError> {
    into.clear();
    let unreadable = |source| TrustError::Unreadable { path: path.to_owned(), source };
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("not a regular file")));
    }
    if metadata.len() > limit {
        return Err(TrustError::TooLarge { path: path.to_owned(), limit });
    }
    file.take(limit).read_to_end(into).map_err(unreadable)?;
    Ok(true)
}

/// How the parts of a database looked at one moment; equal before and after reading means that one state was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamp {
    /// Of the database in `folder`.
    pub(super) fn of(folder: &Path) -> Self {
        let parts = ["status", "diversions", "updates", "info"].map(|part| folder.join(part));
        Self(parts.iter().map(|part| state(part.as_path())).collect())
    }
}

fn state(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}
