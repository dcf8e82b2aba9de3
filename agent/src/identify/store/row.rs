//! One remembered candidate in 136 bytes, the same on disk, in the overlay and in memory.
//!
//! Big-endian and in this order: identity (file system 8, inode 8, change time 8, size 8), SHA-256 32, BLAKE3 32, the
//! digest that a package lists 32, kind 1 (its place in [`FileKind::ALL`] plus one), that digest's algorithm 1 (likewise in
//! [`DigestAlgorithm::ALL`]; 0 for none), zero 6. Rows sort as byte strings.

use doorward_policy::{Blake3, DigestAlgorithm, FileKind, ListedDigest, Sha256};

use crate::identify::{Digests, Identity};

/// Bytes in a row.
pub(crate) const ROW_BYTES: usize = 136;

/// Leading bytes of a row that tell one inode: file system and inode number. A store holds one row an inode.
pub(crate) const INODE_BYTES: usize = 16;

/// A row as stored.
pub(crate) type Row = [u8; ROW_BYTES];

/// Lays a candidate out.
pub(crate) fn encode(identity: &Identity, kind: FileKind, digests: &Digests) -> Row {
    let mut row = [0; ROW_BYTES];
    row[..32].copy_from_slice(&identity.key());
    row[32..64].copy_from_slice(digests.sha256.as_bytes());
    row[64..96].copy_from_slice(digests.blake3.as_bytes());
    if let Some(listed) = &digests.listed {
        row[96..128].copy_from_slice(listed.kept_bytes());
        row[129] = number_of(&DigestAlgorithm::ALL, listed.algorithm());
    }
    row[128] = number_of(&FileKind::ALL, kind);
    row
}

/// Reads a row back; `None` for one that this program would not have written.
pub(crate) fn decode(row: &Row) -> Option<(FileKind, Digests)> {
    let kind = *FileKind::ALL.get(usize::from(row[128].checked_sub(1)?))?;
    let listed = match row[129] {
        0 => None,
        number => {
            let algorithm = *DigestAlgorithm::ALL.get(usize::from(number) - 1)?;
            Some(ListedDigest::from_kept(algorithm, row[96..128].try_into().ok()?))
        }
    };
    let digests = Digests { sha256: Sha256::from_slice(&row[32..64])?, blake3: Blake3::from_slice(&row[64..96])?, listed };
    Some((kind, digests))
}

/// A value's place in its list plus one.
fn number_of<T: PartialEq>(all: &[T], value: T) -> u8 {
    all.iter().position(|known| *known == value).map_or(0, |at| at as u8 + 1)
}

/// The row of `identity`'s inode among sorted rows, and whether it is of this very identity.
pub(crate) fn find(rows: &[Row], identity: &Identity) -> Option<(usize, bool)> {
    let key = identity.key();
    let at = rows.binary_search_by(|row| row[..INODE_BYTES].cmp(&key[..INODE_BYTES])).ok()?;
    Some((at, rows[at][..Identity::KEY_BYTES] == key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identify::FilesystemId;

    proptest! {
        #[test]
        fn a_row_reads_back_as_it_was_laid_out(
            (filesystem, inode, changed_ns, size) in any::<(u64, u64, i64, u64)>(),
            (sha256, blake3, listed) in any::<([u8; 32], [u8; 32], Option<[u8; 32]>)>(),
            algorithm in proptest::sample::select(DigestAlgorithm::ALL.to_vec()),
            kind in proptest::sample::select(FileKind::ALL.to_vec()),
        ) {
            let identity = Identity { filesystem: FilesystemId(filesystem), inode, changed_ns, size };
            let listed = listed.map(|bytes| ListedDigest::from_kept(algorithm, bytes));
            let digests = Digests { sha256: Sha256::new(sha256), blake3: Blake3::new(blake3), listed };
            let row = encode(&identity, kind, &digests);
            prop_assert_eq!(decode(&row), Some((kind, digests)));
            prop_assert_eq!(find(&[row], &identity), Some((0, true)));
            prop_assert_eq!(find(&[row], &Identity { size: size ^ 1, ..identity }), Some((0, false)));
        }

        #[test]
        fn any_bytes_are_a_row_or_none_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), ROW_BYTES)) {
            let _ = decode(&bytes.try_into().unwrap());
        }
    }
}
