//! The store's main file: everything known at one moment, sorted, written once and never changed.
//!
//! Layout: magic 8, version 4 (big-endian like all numbers), fingerprint key 32; rows of [`ROW_BYTES`], ascending, one an
//! inode; fingerprints of 8, ascending; then the tail: numbers of rows 8, fingerprints 8 and files 8, and BLAKE3 32 of
//! everything before it. A new generation grows beside the old one and takes its place by rename once it is on disk.

use std::cmp::Ordering;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::recent::Learnt;
use super::row::{INODE_BYTES, ROW_BYTES, Row};
use super::{FINGERPRINTS_MAX, FingerprintKey, ROWS_MAX, StoreProblem};
use crate::system::durable;

const MAGIC: &[u8; 8] = b"DWIDENT\n";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 8 + 4 + 32;
const COUNTS_BYTES: usize = 3 * 8;
const TAIL_BYTES: usize = COUNTS_BYTES + blake3::OUT_LEN;

/// Rows read from disk at a time.
const ROWS_AT_ONCE: usize = 512;

/// A generation in memory.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    pub(crate) rows: Vec<Row>,
    pub(crate) fingerprints: Vec<u64>,
    /// Files the last whole scan met; a hint for the next one's progress.
    pub(crate) files: u64,
}

/// Reads a generation and checks it to the last bit; `Ok(None)` when there is none.
///
/// # Errors
/// The problem; nothing of the file may then be used.
pub(crate) fn read(path: &Path) -> Result<Option<(FingerprintKey, Generation)>, StoreProblem> {
    let unreadable = |error: io::Error| StoreProblem::Unreadable(error.to_string());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let counts = Counts::of(&file)?;
    let mut from = Checked { file, hasher: blake3::Hasher::new() };
    from.file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let header = from.array::<HEADER_BYTES>().map_err(unreadable)?;
    let key = std::array::from_fn(|at| header[HEADER_BYTES - 32 + at]);
    let rows = from.rows(counts.rows).map_err(unreadable)?;
    let fingerprints = from.fingerprints(counts.fingerprints).map_err(unreadable)?;
    from.array::<COUNTS_BYTES>().map_err(unreadable)?;
    let expected = *from.hasher.finalize().as_bytes();
    if from.array::<{ blake3::OUT_LEN }>().map_err(unreadable)? != expected {
        return Err(StoreProblem::Damaged("its checksum does not match"));
    }
    if !rows.is_sorted_by(|one, other| by_inode(one, other).is_lt()) || !fingerprints.is_sorted_by(|one, other| one < other) {
        return Err(StoreProblem::Damaged("it is not in order"));
    }
    Ok(Some((key, Generation { rows, fingerprints, files: counts.files })))
}

/// Writes a generation in the place of `path`, on disk when it returns.
///
/// # Errors
/// Whatever the file system says; the old generation is then untouched.
pub(crate) fn write<'a>(
    path: &Path,
    key: &FingerprintKey,
    files: u64,
    rows: impl Iterator<Item = &'a Row>,
    fingerprints: impl Iterator<Item = u64>,
) -> io::Result<()> {
    let growing = durable::growing(path);
    match fs::remove_file(&growing) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&growing)?;
    let mut to = Checked { file: BufWriter::with_capacity(64 * 1024, file), hasher: blake3::Hasher::new() };
    to.put(MAGIC)?;
    to.put(&VERSION.to_be_bytes())?;
    to.put(key)?;
    let (mut row_count, mut fingerprint_count) = (0u64, 0u64);
    for row in rows {
        to.put(row)?;
        row_count += 1;
    }
    for fingerprint in fingerprints {
        to.put(&fingerprint.to_be_bytes())?;
        fingerprint_count += 1;
    }
    for count in [row_count, fingerprint_count, files] {
        to.put(&count.to_be_bytes())?;
    }
    let checksum = *to.hasher.finalize().as_bytes();
    to.put(&checksum)?;
    to.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&growing, path)?;
    durable::sync_folder(path)
}

/// Numbers from the tail, checked against the file's length before anything is allocated for them.
struct Counts {
    rows: usize,
    fingerprints: usize,
    files: u64,
}

impl Generation {
    /// Takes in what was learnt since.
    pub(super) fn absorb(&mut self, mut learnt: Learnt) {
        learnt.sort();
        if !learnt.rows.is_empty() {
            self.rows = merge(self.rows.iter(), learnt.rows.iter(), |one, other| by_inode(one, other)).copied().collect();
        }
        if !learnt.fingerprints.is_empty() {
            self.fingerprints = merge(self.fingerprints.iter().copied(), learnt.fingerprints.into_iter(), u64::cmp).collect();
        }
    }
}

/// Sorts rows by inode and keeps the last of each.
pub(crate) fn sort_rows(rows: &mut Vec<Row>) {
    // Reversed first: the sort is stable, and of equal ones the first stays.
    rows.reverse();
    rows.sort_by(by_inode);
    rows.dedup_by(|later, first| by_inode(later, first).is_eq());
}

impl Counts {
    fn of(mut file: &File) -> Result<Self, StoreProblem> {
        let unreadable = |error: io::Error| StoreProblem::Unreadable(error.to_string());
        let length = file.metadata().map_err(unreadable)?.len();
        if length < (HEADER_BYTES + TAIL_BYTES) as u64 {
            return Err(StoreProblem::Damaged("it is cut short"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(unreadable)?;
        if header[..8] != *MAGIC {
            return Err(StoreProblem::Damaged("it does not begin like one"));
        }
        let version = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        if version != VERSION {
            return Err(StoreProblem::Foreign(version));
        }
        let mut counts = [0; COUNTS_BYTES];
        file.seek(SeekFrom::Start(length - TAIL_BYTES as u64)).map_err(unreadable)?;
        file.read_exact(&mut counts).map_err(unreadable)?;
        let [rows, fingerprints, files] = [0, 8, 16].map(|start| u64::from_be_bytes(std::array::from_fn(|at| counts[start + at])));
        if rows > ROWS_MAX as u64 || fingerprints > FINGERPRINTS_MAX as u64 {
            return Err(StoreProblem::Damaged("it claims more entries than any store has"));
        }
        if (HEADER_BYTES + TAIL_BYTES) as u64 + rows * ROW_BYTES as u64 + fingerprints * 8 != length {
            return Err(StoreProblem::Damaged("its length is not that of its entries"));
        }
        Ok(Self { rows: rows as usize, fingerprints: fingerprints as usize, files })
    }
}

/// A file whose bytes are digested as they pass.
struct Checked<F> {
    file: F,
    hasher: blake3::Hasher,
}

impl<F: Write> Checked<F> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}

impl<F: Read> Checked<F> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn rows(&mut self, count: usize) -> io::Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(count);
        while rows.len() < count {
            let start = rows.len();
            rows.resize((start + ROWS_AT_ONCE).min(count), [0; ROW_BYTES]);
            let fresh = rows[start..].as_flattened_mut();
            self.file.read_exact(fresh)?;
            self.hasher.update(fresh);
        }
        Ok(rows)
    }

    fn fingerprints(&mut self, count: usize) -> io::Result<Vec<u64>> {
        let mut list = Vec::with_capacity(count);
        let mut piece = vec![[0; 8]; 4096.min(count)];
        while list.len() < count {
            let fresh = (count - list.len()).min(piece.len());
            self.file.read_exact(piece[..fresh].as_flattened_mut())?;
            self.hasher.update(piece[..fresh].as_flattened());
            list.extend(piece[..fresh].iter().map(|bytes| u64::from_be_bytes(*bytes)));
        }
        Ok(list)
    }
}

/// Merges two ascending sequences without repeats into one; where both have an entry, the fresh one stays.
pub(crate) fn merge<T>(
    old: impl Iterator<Item = T>,
    fresh: impl Iterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
) -> impl Iterator<Item = T> {
    let (mut old, mut fresh) = (old.peekable(), fresh.peekable());
    std::iter::from_fn(move || {
        let (Some(one), Some(other)) = (old.peek(), fresh.peek()) else { return old.next().or_else(|| fresh.next()) };
        match order(one, other) {
            Ordering::Less => old.next(),
            Ordering::Equal => {
                old.next();
                fresh.next()
            }
            Ordering::Greater => fresh.next(),
        }
    })
}

/// The order of rows: by inode alone.
pub(crate) fn by_inode(one: &Row, other: &Row) -> Ordering {
    one[..INODE_BYTES].cmp(&other[..INODE_BYTES])
}
