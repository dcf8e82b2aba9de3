//! What was learnt since the generation was written, appended as it is learnt, so that a killed scan goes on where it was.
//!
//! Layout: magic 8, version 4, fingerprint key 32, check 16; then frames: number of rows 4, number of fingerprints 4, rows,
//! fingerprints of 8, check 16. A check is the first half of BLAKE3 over what it closes. Not synced: a power cut may tear
//! the end off, which costs reading those files again. The first frame that does not check ends the replay.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::recent::Learnt;
use super::row::{ROW_BYTES, Row};
use super::{FingerprintKey, StoreProblem};

const MAGIC: &[u8; 8] = b"DWIDOVL\n";
const VERSION: u32 = 2;
const CHECK_BYTES: usize = 16;
const HEADER_BYTES: usize = 8 + 4 + 32 + CHECK_BYTES;

/// Entries of either sort in one frame.
pub(crate) const FRAME_ENTRIES_MAX: usize = 8192;

/// An overlay stops growing here; what is learnt beyond lives until the next generation only.
const OVERLAY_BYTES_MAX: u64 = 256 << 20;

/// An overlay open for appending.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: File,
    bytes: u64,
}

/// What an overlay held.
pub(crate) struct Replayed {
    pub(crate) key: FingerprintKey,
    pub(super) learnt: Learnt,
    /// Where the last whole frame ends.
    end: u64,
    /// Bytes behind it.
    pub(crate) torn_bytes: u64,
}

/// Reads an overlay; `Ok(None)` when there is none, or one whose header was never finished.
pub(crate) fn replay(path: &Path) -> Result<Option<Replayed>, StoreProblem> {
    let unreadable = |error: io::Error| StoreProblem::Unreadable(error.to_string());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let length = file.metadata().map_err(unreadable)?.len();
    let mut from = BufReader::with_capacity(64 * 1024, file);
    let mut header = [0; HEADER_BYTES];
    if length < HEADER_BYTES as u64 || from.read_exact(&mut header).is_err() {
        return Ok(None);
    }
    let (start, sum) = header.split_at(HEADER_BYTES - CHECK_BYTES);
    if start[..8] != *MAGIC || start[8..12] != VERSION.to_be_bytes() || *sum != check(start) {
        return Ok(None);
    }
    let key = std::array::from_fn(|at| start[12 + at]);
    let mut replayed = Replayed { key, learnt: Learnt::default(), end: HEADER_BYTES as u64, torn_bytes: 0 };
    while let Some(frame) = next_frame(&mut from) {
        let rows_end = 8 + frame.rows * ROW_BYTES;
        replayed.learnt.rows.extend_from_slice(frame.bytes[8..rows_end].as_chunks().0);
        let fingerprints = frame.bytes[rows_end..frame.bytes.len() - CHECK_BYTES].as_chunks().0;
        replayed.learnt.fingerprints.extend(fingerprints.iter().map(|bytes| u64::from_be_bytes(*bytes)));
        replayed.end += frame.bytes.len() as u64;
    }
    replayed.torn_bytes = length.saturating_sub(replayed.end);
    Ok(Some(replayed))
}

/// A frame that checked.
struct Frame {
    rows: usize,
    bytes: Vec<u8>,
}

fn next_frame(from: &mut impl Read) -> Option<Frame> {
    let mut counts = [0; 8];
    from.read_exact(&mut counts).ok()?;
    let [rows, fingerprints] = [0, 4].map(|start| u32::from_be_bytes(std::array::from_fn(|at| counts[start + at])) as usize);
    if rows > FRAME_ENTRIES_MAX || fingerprints > FRAME_ENTRIES_MAX {
        return None;
    }
    let mut bytes = vec![0; 8 + rows * ROW_BYTES + fingerprints * 8 + CHECK_BYTES];
    bytes[..8].copy_from_slice(&counts);
    from.read_exact(&mut bytes[8..]).ok()?;
    let (start, sum) = bytes.split_at(bytes.len() - CHECK_BYTES);
    (*sum == check(start)).then_some(Frame { rows, bytes })
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = blake3::hash(bytes);
    std::array::from_fn(|at| digest.as_bytes()[at])
}

impl Overlay {
    /// Begins an empty overlay in the place of whatever is there.
    pub(crate) fn create(path: &Path, key: &FingerprintKey) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)?;
        let mut overlay = Self { file, bytes: 0 };
        overlay.reset(key)?;
        Ok(overlay)
    }

    /// Goes on behind what was replayed; the torn end is cut off.
    pub(crate) fn resume(path: &Path, replayed: &Replayed) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
        file.set_len(replayed.end)?;
        Ok(Self { file, bytes: replayed.end })
    }

    /// Empties it.
    pub(crate) fn reset(&mut self, key: &FingerprintKey) -> io::Result<()> {
        let mut header = [MAGIC.as_slice(), &VERSION.to_be_bytes(), key].concat();
        header.extend(check(&header));
        self.file.set_len(0)?;
        self.file.write_all(&header)?;
        self.bytes = header.len() as u64;
        Ok(())
    }

    /// Appends entries, at most [`FRAME_ENTRIES_MAX`] of either sort to a frame. Nothing is written beyond the bound.
    pub(crate) fn append(&mut self, rows: &[Row], fingerprints: &[u64]) -> io::Result<()> {
        let frames = rows.len().max(fingerprints.len()).div_ceil(FRAME_ENTRIES_MAX);
        for frame in 0..frames {
            let start = frame * FRAME_ENTRIES_MAX;
            self.append_frame(piece(rows, start), piece(fingerprints, start))?;
        }
        Ok(())
    }

    fn append_frame(&mut self, rows: &[Row], fingerprints: &[u64]) -> io::Result<()> {
        if self.bytes > OVERLAY_BYTES_MAX {
            return Ok(());
        }
        let mut frame = Vec::with_capacity(8 + rows.len() * ROW_BYTES + fingerprints.len() * 8 + CHECK_BYTES);
        frame.extend((rows.len() as u32).to_be_bytes());
        frame.extend((fingerprints.len() as u32).to_be_bytes());
        frame.extend_from_slice(rows.as_flattened());
        frame.extend(fingerprints.iter().flat_map(|fingerprint| fingerprint.to_be_bytes()));
        frame.extend(check(&frame));
        self.file.write_all(&frame)?;
        self.bytes += frame.len() as u64;
        Ok(())
    }

    /// Its length on disk.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn piece<T>(entries: &[T], start: usize) -> &[T] {
    let start = start.min(entries.len());
    &entries[start..(start + FRAME_ENTRIES_MAX).min(entries.len())]
}
