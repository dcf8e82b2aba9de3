//! One file of one archive in 52 bytes, the same on disk and in memory: SHA-256 32, digest of the path 16, the archive's number 4
//! (big-endian). Rows sort as byte strings.

use doorward_policy::Sha256;

pub(super) const ROW_BYTES: usize = 52;

pub(super) type Row = [u8; ROW_BYTES];

/// First half of BLAKE3 over a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowPath([u8; 16]);

impl RowPath {
    /// Of a path relative to the root.
    pub(super) fn of(path: &[u8]) -> Self {
        let digest = blake3::hash(path);
        Self(std::array::from_fn(|at| digest.as_bytes()[at]))
    }

    /// Of a control file: no path has a NUL in it.
    pub(super) fn script() -> Self {
        Self::of(b"\0script")
    }
}

pub(super) fn new(file: &Sha256, path: &RowPath, archive: u32) -> Row {
    let mut row = [0; ROW_BYTES];
    row[..32].copy_from_slice(file.as_bytes());
    row[32..48].copy_from_slice(&path.0);
    row[48..].copy_from_slice(&archive.to_be_bytes());
    row
}

pub(super) fn file(row: &Row) -> Sha256 {
    Sha256::new(std::array::from_fn(|at| row[at]))
}

pub(super) fn path(row: &Row) -> RowPath {
    RowPath(std::array::from_fn(|at| row[32 + at]))
}

pub(super) fn archive(row: &Row) -> usize {
    u32::from_be_bytes(std::array::from_fn(|at| row[48 + at])) as usize
}
