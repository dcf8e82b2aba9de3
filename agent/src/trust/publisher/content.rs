//! Reading a judged file for its signatures: into memory, bounded, and only if it is still the content that was named.
//!
//! A file that is read by seeking can be changed between two reads, and a signature found on one content must never be remembered for
//! another. So the bytes that are looked at are those whose digest was taken.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use doorward_formats::signature::{Container, DigestAlgorithm, Fault, Signed};
use sha2::{Digest as _, Sha256};

use crate::identify::Identified;

/// Larger files are not read for signatures.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// Bytes read at a time; `stop` is asked in between.
const CHUNK_BYTES: usize = 256 << 10;

/// What there is to weigh, or why there is nothing.
pub(super) type Signatures = Result<Result<Vec<Signed>, Fault>, Unread>;

/// Why a file was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It never will be.
    TooLarge,
    /// It may be when it is asked for again.
    Now,
}

pub(super) fn signatures(file: &File, identified: &Identified, container: Container, stop: &dyn Fn() -> bool) -> Signatures {
    let bytes = read(file, identified, stop)?;
    let mut source = Stoppable { bytes: Cursor::new(bytes), stop };
    match container.signatures(&mut source) {
        Err(Fault::Unread) => Err(Unread::Now),
        outcome => Ok(outcome),
    }
}

/// A digest of the content; `None` when it cannot be taken now.
pub(super) fn digest(file: &File, identified: &Identified, algorithm: DigestAlgorithm, stop: &dyn Fn() -> bool) -> Option<Vec<u8>> {
    match algorithm {
        DigestAlgorithm::Sha256 => Some(identified.digests.sha256.as_bytes().to_vec()),
        _ => read(file, identified, stop).ok().map(|bytes| algorithm.digest(&bytes)),
    }
}

fn read(file: &File, identified: &Identified, stop: &dyn Fn() -> bool) -> Result<Vec<u8>, Unread> {
    let size = identified.identity.size;
    if size > BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| Unread::TooLarge)?];
    let mut at = 0;
    for chunk in bytes.chunks_mut(CHUNK_BYTES) {
        if stop() {
            return Err(Unread::Now);
        }
        file.read_exact_at(chunk, at).map_err(|_| Unread::Now)?;
        at += chunk.len() as u64;
    }
    // SECURITY: what is found is remembered under this digest.
    if Sha256::digest(&bytes).as_slice() == identified.digests.sha256.as_bytes() { Ok(bytes) } else { Err(Unread::Now) }
}

/// Ends a reader's work by an error when the time is over.
struct Stoppable<'a> {
    bytes: Cursor<Vec<u8>>,
    stop: &'a dyn Fn() -> bool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.bytes.read(into)
    }
}

impl Seek for Stoppable<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}
