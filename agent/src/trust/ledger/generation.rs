//! The ledger's file: magic 8, version 4 (big-endian like all numbers), flags 4 (bit 0: apt tells of its transactions), bytes of the list
//! of archives 8, number of rows 8, the list (postcard), the rows, and BLAKE3 32 of everything before it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::row::{ROW_BYTES, Row};
use super::{ARCHIVES_MAX, Archive, Known, ROWS_MAX};
use crate::system::durable;

const MAGIC: &[u8; 8] = b"DWLEDGR\n";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 8;
const IS_TOLD: u32 = 1;

/// Bytes of the list of archives; each has some hundred.
const ARCHIVES_BYTES_MAX: u64 = 64 << 20;

/// Why the ledger on disk is not used. What it vouched for is of level database until its archives are read again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerProblem {
    /// Not what was written.
    #[error("the ledger of signed archives is damaged ({0}) and is not used; `doorward-agent trust witness` fills it again")]
    Damaged(&'static str),
    /// Of a version this program does not write.
    #[error("the ledger of signed archives is of version {0}, which this program does not read")]
    Foreign(u32),
    /// The file system refuses.
    #[error("the ledger of signed archives cannot be read: {0}")]
    Unreadable(String),
}

/// Reads a ledger and checks it to the last bit; `Ok(None)` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Known>, LedgerProblem> {
    let unreadable = |error: io::Error| LedgerProblem::Unreadable(error.to_string());
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let length = file.metadata().map_err(unreadable)?.len();
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).map_err(|_| LedgerProblem::Damaged("it is cut short"))?;
    if header[..8] != *MAGIC {
        return Err(LedgerProblem::Damaged("it does not begin like one"));
    }
    let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|byte| header[at + byte]));
    let long = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| header[at + byte]));
    let (version, flags, archive_bytes, row_count) = (number(8), number(12), long(16), long(24));
    if version != VERSION {
        return Err(LedgerProblem::Foreign(version));
    }
    if archive_bytes > ARCHIVES_BYTES_MAX || row_count > ROWS_MAX as u64 {
        return Err(LedgerProblem::Damaged("it claims more than any ledger has"));
    }
    let body = archive_bytes + row_count * ROW_BYTES as u64;
    if HEADER_BYTES as u64 + body + blake3::OUT_LEN as u64 != length {
        return Err(LedgerProblem::Damaged("its length is not that of its entries"));
    }
    let mut bytes = vec![0; body as usize];
    let mut checksum = [0; blake3::OUT_LEN];
    file.read_exact(&mut bytes).and_then(|()| file.read_exact(&mut checksum)).map_err(unreadable)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header).update(&bytes);
    if hasher.finalize() != checksum {
        return Err(LedgerProblem::Damaged("its checksum does not match"));
    }
    let (archives, rows) = bytes.split_at(archive_bytes as usize);
    let archives: Vec<Archive> = postcard::from_bytes(archives).map_err(|_| LedgerProblem::Damaged("its archives cannot be read"))?;
    let (rows, _) = rows.as_chunks::<ROW_BYTES>();
    if archives.len() > ARCHIVES_MAX || rows.iter().any(|row| super::row::archive(row) >= archives.len()) {
        return Err(LedgerProblem::Damaged("a file in it belongs to no archive"));
    }
    Ok(Some(Known::new(archives, rows.to_vec(), flags & IS_TOLD != 0)))
}

/// Writes a ledger in the place of `path`, on disk when it returns.
pub(super) fn write(path: &Path, known: &Known) -> io::Result<()> {
    let archives = postcard::to_stdvec(&known.archives).map_err(io::Error::other)?;
    let rows: &[Row] = &known.rows;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + archives.len() + rows.len() * ROW_BYTES + blake3::OUT_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend((if known.is_told { IS_TOLD } else { 0 }).to_be_bytes());
    bytes.extend((archives.len() as u64).to_be_bytes());
    bytes.extend((rows.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&archives);
    bytes.extend_from_slice(rows.as_flattened());
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    durable::replace(path, &bytes, 0o600)
}
