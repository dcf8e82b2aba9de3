//! A Debian package: an `ar` archive of `control.tar` and `data.tar`, read as a stream from one end to the other, as dpkg itself
//! would unpack it. What dpkg would refuse, or two readers could understand differently, is refused here: a file then earns
//! nothing from this archive, and that is all.
//!
//! [`inspect`] gives names and digests and keeps no content. Whoever calls has made sure that somebody signed the archive's own
//! digest, bounds the time, and takes the archive's digest from the very bytes that pass.

mod ar;
mod control;
mod facts;
mod files;
mod problem;
mod tar;

use std::io::Read;

use crate::compression::Compression;
use ar::Ar;

pub use facts::{ArchiveFacts, PackagedFile, Script};
pub use problem::Problem;

/// Bytes of `control.tar` when it is unpacked.
const CONTROL_BYTES_MAX: u64 = 64 << 20;

/// Bytes of `data.tar` when it is unpacked; the largest there are, debug symbols of kernels, have some gigabytes.
const DATA_BYTES_MAX: u64 = 16 << 30;

/// Reads a whole package.
///
/// # Errors
/// [`Problem`]; nothing of the archive then proves anything.
pub fn inspect(archive: impl Read) -> Result<ArchiveFacts, Problem> {
    let mut ar = Ar::open(archive)?;
    let mut version = [0; 2];
    if ar.next()? != b"debian-binary" {
        return Err(Problem::Order);
    }
    ar.read_exact(&mut version).map_err(Problem::Io)?;
    if version != *b"2." {
        return Err(Problem::Version);
    }
    let packed = ar.tar(b"control.tar")?;
    let control = control::read(packed.unpack(&mut ar, CONTROL_BYTES_MAX)?)?;
    let packed = ar.tar(b"data.tar")?;
    let (files, other_files) = files::read(packed.unpack(&mut ar, DATA_BYTES_MAX)?)?;
    let control::Control { package, multi_arch_same, version, architecture, scripts } = control;
    Ok(ArchiveFacts { package, multi_arch_same, version, architecture, scripts, files, other_files })
}
