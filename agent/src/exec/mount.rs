//! The mount table as the kernel tells it, and which filesystems may be watched at all.
//!
//! Reads text only. Never touches a mount point: a dead network server or a FUSE program that does not answer would hold whoever
//! does. Format: `proc_pid_mountinfo(5)`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

use doorward_policy::PathBytes;

/// The table of whoever reads it; pollable for changes. The calling thread's own, not its process's: the two differ when a thread
/// has left the process's mount namespace.
pub const MOUNTINFO: &str = "/proc/thread-self/mountinfo";
/// Bytes of a mount table read at most; some 400,000 mounts fit the kernel's own limit of 100,000 with room to spare.
const MOUNTINFO_BYTES_MAX: u64 = 64 << 20;

/// Bytes read of `/proc/self/fdinfo/N`; the line in question is among the first three.
const FDINFO_BYTES_MAX: u64 = 4096;

/// One line of the mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount's own number, as it stands in `/proc/PID/fdinfo`.
    pub id: u64,
    /// Device of the filesystem, `major:minor`; the same for all mounts of one filesystem.
    pub device: (u32, u32),
    /// Where it is mounted, unescaped, seen from the reader's root.
    pub point: PathBytes,
    /// Type, with FUSE's subtype when it has one (`fuse.sshfs`).
    pub filesystem: String,
    /// What of the filesystem is mounted here; `/` for all of it.
    pub root: PathBytes,
}

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

/// Filesystems another machine or program answers for. The kernel opens the file inside the reader's own `read`, so one server
/// that does not answer would stop all watching.
const REMOTE: [(&str, &str); 16] = [
    ("9p", "a 9p server answers for it"),
    ("afs", "a network server answers for it"),
    ("ceph", "a network server answers for it"),
    ("cifs", "a network server answers for it"),
    ("coda", "a network server answers for it"),
    ("fuse", "a FUSE program answers for it"),
    ("fuseblk", "a FUSE program answers for it"),
    ("gfs2", "a cluster answers for it"),
    ("lustre", "a network server answers for it"),
    ("nfs", "a network server answers for it"),
    ("nfs4", "a network server answers for it"),
    ("ocfs2", "a cluster answers for it"),
    ("orangefs", "a network server answers for it"),
    ("smb3", "a network server answers for it"),
    ("smbfs", "a network server answers for it"),
    ("virtiofs", "the hypervisor's FUSE program answers for it"),
];

impl Mount {
    /// Whether this mount's filesystem is watched, and if not, why.
    #[must_use]
    pub fn watching(&self) -> Watching {
        let base = self.filesystem.split('.').next().unwrap_or_default();
        if let Some((_, reason)) = REMOTE.iter().find(|(name, _)| *name == base) {
            return Watching::Impossible(reason);
        }
        if NEEDLESS.contains(&self.filesystem.as_str()) { Watching::Needless } else { Watching::Watched }
    }
}

/// A mount table as it was at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads the table of this process, or of another by its `/proc/PID/mountinfo`. Lines that make no sense are left out.
    ///
    /// # Errors
    /// When `/proc` is not there or the process is gone.
    pub fn read(mountinfo: &Path) -> io::Result<Self> {
        Self::read_open(&mut File::open(mountinfo)?)
    }

    /// As [`Mounts::read`], from a table that is already open (and may be polled for changes).
    ///
    /// # Errors
    /// As reading fails.
    pub fn read_open(mountinfo: &mut File) -> io::Result<Self> {
        let mut text = Vec::new();
        mountinfo.take(MOUNTINFO_BYTES_MAX).read_to_end(&mut text)?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(parse_line).collect())
    }

    /// All mounts, in the order of the table: later ones may cover earlier ones.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// The mount with this number.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.0.iter().find(|mount| mount.id == id)
    }

    /// The mount that an absolute path without links and dots lies on.
    #[must_use]
    pub fn of_path(&self, path: &[u8]) -> Option<&Mount> {
        // `max_by_key` keeps the last of equals: the one mounted on top of the others.
        self.0.iter().filter(|mount| below(path, mount.point.as_bytes()).is_some()).max_by_key(|mount| mount.point.as_bytes().len())
    }
}

/// The number of the mount an open file was reached through, without asking the filesystem anything.
#[must_use]
pub fn id_of(file: &impl AsRawFd) -> Option<u64> {
    let mut text = Vec::new();
    File::open(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?.take(FDINFO_BYTES_MAX).read_to_end(&mut text).ok()?;
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:"))?;
    number(line.trim_ascii())
}

/// What of `path` lies below `folder`, without a leading slash; `None` when it does not lie below it.
#[must_use]
pub fn below<'a>(path: &'a [u8], folder: &[u8]) -> Option<&'a [u8]> {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    match path.strip_prefix(folder)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let _parent = fields.next()?;
    let mut device = fields.next()?.split(|byte| *byte == b':');
    let device = (number(device.next()?)?, number(device.next()?)?);
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let filesystem = fields.skip_while(|field| *field != b"-").nth(1)?;
    let filesystem = String::from_utf8_lossy(filesystem).into_owned();
    Some(Mount { id, device, point: PathBytes::new(point), filesystem, root: PathBytes::new(root) })
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:27 / /home/ann/with\\040space rw,nosuid shared:5 master:1 - fuse.sshfs ann@far rw
31 27 254:0 /srv/data /mnt/bind rw - ext4 /dev/vda rw
32 27 0:40 / /mnt/bind rw - tmpfs tmpfs rw
broken line
33 27 x:y / /a rw - ext4 a rw
";

    #[test]
    fn a_table_is_read_and_nonsense_left_out() {
        let mounts = Mounts::parse(TABLE);
        let points: Vec<_> = mounts.iter().map(|mount| mount.point.to_string()).collect();
        assert_eq!(points, ["/proc", "/", "/home/ann/with space", "/mnt/bind", "/mnt/bind"]);
        assert_eq!(mounts.by_id(30).unwrap().filesystem, "fuse.sshfs");
        assert_eq!(mounts.by_id(31).unwrap().root, PathBytes::new(*b"/srv/data"));
        assert_eq!(mounts.by_id(27).unwrap().device, (254, 0));
    }

    #[test]
    fn a_path_lies_on_the_topmost_of_the_deepest_mounts() {
        let mounts = Mounts::parse(TABLE);
        assert_eq!(mounts.of_path(b"/usr/bin/true").unwrap().id, 27);
        assert_eq!(mounts.of_path(b"/mnt/bind/x").unwrap().id, 32);
        assert_eq!(mounts.of_path(b"/mnt/binder").unwrap().id, 27);
        assert_eq!(mounts.of_path(b"/proc").unwrap().id, 22);
        assert_eq!(mounts.of_path(b"not/absolute"), None);
    }

    #[test]
    fn an_open_file_tells_its_mount() {
        let file = File::open("/proc/self/status").unwrap();
        let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap();
        assert_eq!(mounts.by_id(id_of(&file).unwrap()).unwrap().filesystem, "proc");
    }

    #[test]
    fn what_others_answer_for_is_never_watched() {
        let watching = |filesystem: &str| {
            Mount { id: 1, device: (0, 1), point: PathBytes::default(), filesystem: filesystem.into(), root: PathBytes::default() }
                .watching()
        };
        for remote in ["fuse", "fuse.sshfs", "fuseblk", "nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs"] {
            assert!(matches!(watching(remote), Watching::Impossible(_)), "{remote}");
        }
        for needless in ["autofs", "proc", "sysfs", "cgroup2"] {
            assert_eq!(watching(needless), Watching::Needless, "{needless}");
        }
        for local in ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "squashfs", "vfat", "devtmpfs", "ramfs"] {
            assert_eq!(watching(local), Watching::Watched, "{local}");
        }
    }

    #[test]
    fn escapes_of_the_kernel_are_undone_and_stray_backslashes_kept() {
        assert_eq!(unescape(b"a\\040b\\134c\\011\\012"), b"a b\\c\t\n");
        assert_eq!(unescape(b"tail\\04"), b"tail\\04");
        assert_eq!(unescape(b"\\777"), b"\\777");
    }

    #[test]
    fn below_is_about_whole_names() {
        assert_eq!(below(b"/a/b", b"/"), Some(b"a/b".as_slice()));
        assert_eq!(below(b"/a/b", b"/a"), Some(b"b".as_slice()));
        assert_eq!(below(b"/ab", b"/a"), None);
        assert_eq!(below(b"/a", b"/a"), Some(b"".as_slice()));
    }
}
