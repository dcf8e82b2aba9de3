//! Which mounts a scan may touch.

use crate::exec::mount::Mount;

/// File systems whose files this kernel alone answers for, and which hold programs. Any other may wait for a server that
/// never answers (NFS, FUSE, 9p, autofs), or is no store of files (proc, sysfs, cgroup).
const LOCAL_TYPES: [&str; 27] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "jfs", "reiserfs", "nilfs2", "vfat", "exfat", "msdos", "ntfs",
    "ntfs3", "hfsplus", "iso9660", "udf", "squashfs", "erofs", "cramfs", "romfs", "ubifs", "jffs2", "tmpfs", "ramfs",
];

/// Layers over other file systems, which are walked themselves: of interest only when they are all there is.
const LAYERED_TYPE: &str = "overlay";

/// How far a mount's files may be touched by a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locality {
    /// Walked.
    Local,
    /// Walked only when a scan starts on it.
    Layered,
    /// Never touched.
    Other,
}

impl Locality {
    pub(super) fn of(mount: &Mount) -> Self {
        match mount.filesystem.as_str() {
            LAYERED_TYPE => Self::Layered,
            local if LOCAL_TYPES.contains(&local) => Self::Local,
            _ => Self::Other,
        }
    }
}
