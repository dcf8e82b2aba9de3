//! Which types of filesystems executions are watched on, and scans walk.
//!
//! Named are those this kernel alone answers for; whatever is not named may wait for a server that never answers, and is left
//! alone with a reason. Layers over other filesystems are judged by what they lie on, in [`super::mount`].

/// Whether executions on a filesystem are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watching {
    /// Local: it gets a mark.
    Watched,
    /// It holds no files that could be executed, so nothing is missed by leaving it alone.
    Needless,
    /// Files on it can be executed and are not seen, for this reason.
    Impossible(&'static str),
}

/// Shows folders of other filesystems as one.
pub(super) const OVERLAY: &str = "overlay";

/// Filesystems whose files this kernel alone answers for, and which can hold programs.
const LOCAL: [&str; 33] = [
    "bcachefs", "btrfs", "cramfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "hfsplus", "iso9660", "jffs2",
    "jfs", "minix", "msdos", "nilfs2", "ntfs", "ntfs3", "ramfs", "reiserfs", "romfs", "squashfs", "sysv", "tmpfs", "ubifs", "udf", "ufs",
    "vfat", "xfs", "zfs", "zonefs",
];

/// Kernel filesystems whose files are not programs.
const NEEDLESS: [&str; 24] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "pipefs",
    "proc",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Filesystems another machine or program answers for, in words. The kernel opens the file inside the reader's own `read`, so one
/// server that does not answer would stop all watching.
const REMOTE: [(&str, &str); 21] = [
    ("9p", "a 9p server answers for it"),
    ("afs", "a network server answers for it"),
    ("beegfs", "a network server answers for it"),
    ("ceph", "a network server answers for it"),
    ("cifs", "a network server answers for it"),
    ("coda", "a network server answers for it"),
    ("fuse", "a FUSE program answers for it"),
    ("fuseblk", "a FUSE program answers for it"),
    ("gfs2", "a cluster answers for it"),
    ("gpfs", "a cluster answers for it"),
    ("lustre", "a network server answers for it"),
    ("nfs", "a network server answers for it"),
    ("nfs4", "a network server answers for it"),
    ("ocfs2", "a cluster answers for it"),
    ("orangefs", "a network server answers for it"),
    ("prl_fs", "the hypervisor answers for it"),
    ("smb3", "a network server answers for it"),
    ("smbfs", "a network server answers for it"),
    ("vboxsf", "the hypervisor answers for it"),
    ("virtiofs", "the hypervisor's FUSE program answers for it"),
    ("vmhgfs", "the hypervisor answers for it"),
];

/// Said of every type that is not named above.
const UNKNOWN: &str = "it is not known to be answered for by this kernel alone";
/// Said of layers whose places this host's mount table does not prove local.
pub(super) const LAYERS_UNKNOWN: &str = "what it is laid over is not known to be answered for by this kernel alone";

/// What can be said of a type by its name, FUSE's subtype (`fuse.sshfs`) included. Layers are [`Watching::Impossible`] here.
pub(super) fn watching(filesystem: &str) -> Watching {
    if LOCAL.contains(&filesystem) {
        return Watching::Watched;
    }
    if NEEDLESS.contains(&filesystem) {
        return Watching::Needless;
    }
    let base = filesystem.split('.').next().unwrap_or_default();
    let remote = REMOTE.iter().find(|(name, _)| *name == base).map(|(_, reason)| *reason);
    Watching::Impossible(remote.unwrap_or(if base == OVERLAY { LAYERS_UNKNOWN } else { UNKNOWN }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_answer_for_is_never_watched() {
        for remote in ["fuse", "fuse.sshfs", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vboxsf", "gpfs", "beegfs"] {
            let Watching::Impossible(reason) = watching(remote) else { panic!("{remote}") };
            assert_ne!(reason, UNKNOWN, "{remote}");
        }
    }

    #[test]
    fn what_nobody_named_is_not_watched_either() {
        for unknown in ["ecryptfs", "aufs", "wrapfs", "", "ext5", "ext4.sub"] {
            assert_eq!(watching(unknown), Watching::Impossible(UNKNOWN), "{unknown}");
        }
    }

    #[test]
    fn local_types_are_watched_and_kernel_ones_need_not_be() {
        for needless in ["autofs", "proc", "sysfs", "cgroup2"] {
            assert_eq!(watching(needless), Watching::Needless, "{needless}");
        }
        for local in ["ext4", "xfs", "btrfs", "tmpfs", "squashfs", "vfat", "devtmpfs", "ramfs"] {
            assert_eq!(watching(local), Watching::Watched, "{local}");
        }
    }
}
