//! What is told of a candidate: its kind, digests and how its inode looked.

use doorward_policy::FileKind;
use doorward_proto::report::FileFacts;
use nix::sys::stat::FileStat;

use super::{Digests, Identity};

/// An inode as reports show it; no part of it names or proves content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size: u64,
    /// `st_mode`, type bits included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Microseconds since 1970, UTC; whatever the owner set.
    pub modified_at: i64,
    /// Microseconds since 1970, UTC.
    pub changed_at: i64,
}

impl Attributes {
    /// Takes them from a `stat` of the file.
    #[must_use]
    pub fn of(stat: &FileStat) -> Self {
        let micros = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000);
        Self {
            size: stat.st_size.cast_unsigned(),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified_at: micros(stat.st_mtime, stat.st_mtime_nsec),
            changed_at: micros(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// A candidate, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Where its content was found, in which state.
    pub identity: Identity,
    /// By content.
    pub kind: FileKind,
    /// Of the whole content.
    pub digests: Digests,
    /// When the identity was taken.
    pub attributes: Attributes,
}

impl From<&Identified> for FileFacts {
    fn from(file: &Identified) -> Self {
        let Identified { kind, digests, attributes, .. } = file;
        Self {
            sha256: digests.sha256,
            sha1: None,
            md5: digests.md5(),
            blake3: Some(digests.blake3),
            size: attributes.size,
            kind: *kind,
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            modified_at: attributes.modified_at,
            changed_at: attributes.changed_at,
        }
    }
}
