//! The identity of a file's content as far as the kernel tells it without a read.

use nix::sys::stat::FileStat;

/// Change times younger than this may be given to a second change: two ticks of the slowest kernel clock (`HZ=100`).
const SETTLED_AFTER_NS: i64 = 2 * 10_000_000;

/// The same where the file system may keep no fractions of a second, or the inode has no room for them, as with 128-byte inodes of
/// ext4: a whole second, and one to spare.
const COARSE_SETTLED_AFTER_NS: i64 = 2 * NS_A_SECOND;

const NS_A_SECOND: i64 = 1_000_000_000;

/// A file system by a name that outlives reboots where it has one; made by [`super::Filesystems`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilesystemId(pub u64);

/// One state of one inode. Never the path, and never the modification time, which its owner sets at will.
///
/// The inode's generation is left out: it costs an open file to ask for, and a reused inode number comes with a change
/// time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Where the inode number counts.
    pub filesystem: FilesystemId,
    /// `st_ino`.
    pub inode: u64,
    /// Change time, nanoseconds since 1970, UTC.
    pub changed_ns: i64,
    /// Bytes.
    pub size: u64,
}

/// What a file's name claims about it where content alone does not tell; part of what a look at a non-candidate depended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameClaim {
    /// Nothing.
    None,
    /// To be a Java archive, which may begin with any bytes.
    Jar,
    /// To be a compressed kernel module.
    CompressedModule,
    /// To be run by whoever reads it: any text is a script in an interpreter's hands. No name says so; whoever saw it being loaded does.
    Source,
}

impl NameClaim {
    /// Reads the last component of a path.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        if doorward_formats::named_like_jar(name) {
            Self::Jar
        } else if doorward_formats::named_like_compressed_module(name) {
            Self::CompressedModule
        } else {
            Self::None
        }
    }
}

impl Identity {
    /// Bytes in [`Self::key`].
    pub const KEY_BYTES: usize = 32;

    /// Takes it from a `stat` of the file.
    #[must_use]
    pub fn of(filesystem: FilesystemId, stat: &FileStat) -> Self {
        Self {
            filesystem,
            inode: stat.st_ino,
            changed_ns: stat.st_ctime.saturating_mul(NS_A_SECOND).saturating_add(stat.st_ctime_nsec),
            size: stat.st_size.cast_unsigned(),
        }
    }

    /// Whether the change time is old enough, at `now_micros`, that a further change would show another one. A clock that
    /// was set back makes it false until the clock has caught up.
    ///
    /// A change time without a fraction of a second is taken for a coarse one: the kernel cuts it off already in memory, so where one
    /// shows, there is room for it.
    #[must_use]
    pub const fn is_settled(&self, now_micros: i64) -> bool {
        let settled_after = if self.changed_ns % NS_A_SECOND == 0 { COARSE_SETTLED_AFTER_NS } else { SETTLED_AFTER_NS };
        self.changed_ns.saturating_add(settled_after) <= now_micros.saturating_mul(1000)
    }

    /// Its bytes in the order in which stores sort: file system and inode first, all big-endian.
    #[must_use]
    pub fn key(&self) -> [u8; Self::KEY_BYTES] {
        let mut key = [0; Self::KEY_BYTES];
        key[..8].copy_from_slice(&self.filesystem.0.to_be_bytes());
        key[8..16].copy_from_slice(&self.inode.to_be_bytes());
        key[16..24].copy_from_slice(&self.changed_ns.to_be_bytes());
        key[24..].copy_from_slice(&self.size.to_be_bytes());
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_time_in_whole_seconds_may_be_given_to_a_second_change_for_as_long() {
        let changed = |changed_ns| Identity { filesystem: FilesystemId(1), inode: 1, changed_ns, size: 1 };
        let (fine, coarse) = (changed(7 * NS_A_SECOND + 1), changed(7 * NS_A_SECOND));
        assert!(!fine.is_settled(7_019_999) && fine.is_settled(7_020_001));
        assert!(!coarse.is_settled(7_999_999), "the kernel gives this very time until the second is over");
        assert!(!coarse.is_settled(8_500_000) && coarse.is_settled(9_000_000));
        assert!(!fine.is_settled(0), "from the future");
    }
}
