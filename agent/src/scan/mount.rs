//! The mounts this process sees, from `/proc/thread-self/mountinfo`, and which of them are local file systems.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// File systems whose files this kernel alone answers for, and which hold programs. Any other may wait for a server that
/// never answers (NFS, FUSE, 9p, autofs), or is no store of files (proc, sysfs, cgroup).
const LOCAL_TYPES: [&str; 27] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "jfs", "reiserfs", "nilfs2", "vfat", "exfat", "msdos", "ntfs",
    "ntfs3", "hfsplus", "iso9660", "udf", "squashfs", "erofs", "cramfs", "romfs", "ubifs", "jffs2", "tmpfs", "ramfs",
];

/// Layers over other file systems, which are walked themselves: of interest only when they are all there is.
const LAYERED_TYPE: &str = "overlay";

/// One line of `mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's id of the mount.
    pub id: u32,
    /// `major:minor` as written: mounts of one file system share it.
    pub device: String,
    /// Which part of the file system is mounted, from its own top.
    pub part: Vec<u8>,
    /// Where, from this process's root.
    pub point: Vec<u8>,
    /// Type, with a subtype after a dot for FUSE.
    pub filesystem: String,
}

/// How far a mount's files may be touched by a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locality {
    /// Walked.
    Local,
    /// Walked only when a scan starts on it.
    Layered,
    /// Never touched.
    Other,
}

impl Mount {
    /// Whether a scan may touch its files.
    #[must_use]
    pub fn locality(&self) -> Locality {
        if LOCAL_TYPES.contains(&self.filesystem.as_str()) {
            Locality::Local
        } else if self.filesystem == LAYERED_TYPE {
            Locality::Layered
        } else {
            Locality::Other
        }
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let device = fields.nth(1)?;
        let (part, point) = (fields.next()?, fields.next()?);
        // Options, optional fields up to a dash, then the type.
        let mut rest = fields.skip_while(|field| *field != b"-");
        let filesystem = rest.nth(1)?;
        Some(Self {
            id,
            device: String::from_utf8_lossy(device).into_owned(),
            part: unescape(part),
            point: unescape(point),
            filesystem: String::from_utf8_lossy(filesystem).into_owned(),
        })
    }
}

/// All mounts, in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub struct MountTable(Vec<Mount>);

impl MountTable {
    /// Reads the kernel's table for this thread (all threads share one unless somebody unshared them).
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(&fs::read("/proc/thread-self/mountinfo")?))
    }

    /// Parses a table; lines of another form are passed over.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self(text.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect())
    }

    /// All of them.
    #[must_use]
    pub fn mounts(&self) -> &[Mount] {
        &self.0
    }

    /// The mount an open file or folder was reached through.
    #[must_use]
    pub fn of(&self, file: impl AsFd) -> Option<&Mount> {
        let id = id_of(file)?;
        self.0.iter().find(|mount| mount.id == id)
    }
}

/// The id of the mount an open file was reached through. Device numbers would not do: a btrfs subvolume's differs from its
/// mount's, and bind mounts share one.
fn id_of(file: impl AsFd) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/thread-self/fdinfo/{}", file.as_fd().as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// Undoes the kernel's `\040` for blanks, tabs, newlines and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| after.first_chunk::<3>().and_then(octal)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    bytes
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    digits.iter().try_fold(0u8, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read_with_its_escapes() {
        let text = b"28 27 0:25 /sub\\040dir /mnt/odd\\134\\012name ro,nosuid shared:5 master:1 - fuse.sshfs host:/ rw\nnonsense\n";
        let table = MountTable::parse(text);
        let expected = Mount {
            id: 28,
            device: "0:25".to_owned(),
            part: b"/sub dir".to_vec(),
            point: b"/mnt/odd\\\nname".to_vec(),
            filesystem: "fuse.sshfs".to_owned(),
        };
        assert_eq!(table.mounts(), [expected]);
        assert_eq!(table.mounts()[0].locality(), Locality::Other);
    }

    #[test]
    fn an_open_folder_tells_its_mount() {
        let table = MountTable::read().unwrap();
        let proc = table.of(fs::File::open("/proc").unwrap()).unwrap();
        assert_eq!((proc.filesystem.as_str(), proc.locality()), ("proc", Locality::Other));
    }
}
