//! The mount table as the kernel tells it, and which of its mounts may be touched at all.
//!
//! Reads text only. Never touches a mount point: a dead network server or a FUSE program that does not answer would hold whoever
//! does; `walk` does, where this table says it is safe. Format: `proc_pid_mountinfo(5)`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use doorward_policy::PathBytes;
use nix::sys::stat::makedev;

pub use super::filesystem::Watching;
use super::filesystem::{self, OVERLAY};
use crate::system::glance::{Glance, glance};

/// The table of whoever reads it; pollable for changes. The calling thread's own, not its process's: the two differ when a thread
/// has left the process's mount namespace.
pub const MOUNTINFO: &str = "/proc/thread-self/mountinfo";
/// Bytes of a mount table read at most; some 400,000 mounts fit the kernel's own limit of 100,000 with room to spare.
const MOUNTINFO_BYTES_MAX: u64 = 64 << 20;
/// Bytes read at most of the table of a process elsewhere, which whoever made its namespace fills as they like; some 20,000 mounts.
pub(super) const FOREIGN_BYTES_MAX: u64 = 4 << 20;
/// Layers that may lie on layers; the kernel allows no more.
const LAYERS_DEEP_MAX: usize = 2;
/// Bytes read of `/proc/self/fdinfo/N`; the line in question is among the first three.
const FDINFO_BYTES_MAX: u64 = 4096;

/// One line of the mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount's own number, as it stands in `/proc/PID/fdinfo`.
    pub id: u64,
    /// Number of the mount it lies on.
    pub parent: u64,
    /// Device of the filesystem, `major:minor`; the same for all mounts of one filesystem.
    pub device: (u32, u32),
    /// Where it is mounted, unescaped, seen from the reader's root.
    pub point: PathBytes,
    /// Type, with FUSE's subtype when it has one (`fuse.sshfs`).
    pub filesystem: String,
    /// What of the filesystem is mounted here; `/` for all of it.
    pub root: PathBytes,
    watching: Watching,
    /// Folders it shows as one, as whoever mounted it named them; `None` when one of them cannot be told.
    layers: Option<Vec<Vec<u8>>>,
    /// The one of them that is written to.
    upper: Option<Vec<u8>>,
}

impl Mount {
    /// Whether this mount's filesystem is watched, and if not, why.
    #[must_use]
    pub const fn watching(&self) -> Watching {
        self.watching
    }

    /// Its layers from the top, each with whether it is the upper one: a name is looked for in this order.
    #[must_use]
    pub fn layers_in_order(&self) -> Vec<(bool, &[u8])> {
        let upper = self.upper.as_deref();
        let lower = self.layers.iter().flatten().map(Vec::as_slice).filter(|layer| Some(*layer) != upper);
        upper.into_iter().map(|upper| (true, upper)).chain(lower.map(|lower| (false, lower))).collect()
    }

    /// Whether it shows folders of other filesystems, which are met where they lie as well.
    #[must_use]
    pub fn is_layered(&self) -> bool {
        self.filesystem == OVERLAY
    }
}

/// A mount table as it was at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    mounts: Vec<Mount>,
    by_id: HashMap<u64, usize>,
    /// Of all mounts, and whether they are watched.
    devices: HashMap<u64, bool>,
    by_point: HashMap<PathBytes, Vec<usize>>,
}

impl Mounts {
    /// Reads the table of this process. Lines that make no sense are left out.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn read(mountinfo: &Path) -> io::Result<Self> {
        Self::read_at_most(mountinfo, MOUNTINFO_BYTES_MAX).map(|(mounts, _)| mounts)
    }

    /// Reads the table of a process that may live in another namespace, as far as it is no longer than such a table may be.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of_process(pid: i32) -> io::Result<Self> {
        Self::read_at_most(Path::new(&format!("/proc/{pid}/mountinfo")), FOREIGN_BYTES_MAX).map(|(mounts, _)| mounts)
    }

    /// The table, and how many bytes of text were read.
    pub(super) fn read_at_most(mountinfo: &Path, bytes_max: u64) -> io::Result<(Self, u64)> {
        let mut text = Vec::new();
        File::open(mountinfo)?.take(bytes_max).read_to_end(&mut text)?;
        Ok((Self::parse(&text), text.len() as u64))
    }

    pub(super) fn parse(text: &[u8]) -> Self {
        let mut table = Self { mounts: text.split(|byte| *byte == b'\n').filter_map(parse_line).collect(), ..Self::default() };
        for (index, mount) in table.mounts.iter().enumerate() {
            table.by_id.insert(mount.id, index);
            table.by_point.entry(mount.point.clone()).or_default().push(index);
        }
        let are_local: Vec<bool> = table.mounts.iter().map(|mount| table.layers_are_local(mount, LAYERS_DEEP_MAX)).collect();
        for (mount, _) in table.mounts.iter_mut().zip(are_local).filter(|(mount, are_local)| mount.is_layered() && *are_local) {
            mount.watching = Watching::Watched;
        }
        for mount in &table.mounts {
            let device = makedev(u64::from(mount.device.0), u64::from(mount.device.1));
            *table.devices.entry(device).or_default() |= mount.watching == Watching::Watched;
        }
        table
    }

    /// All mounts, in the order of the table: later ones may cover earlier ones.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// The mount with this number.
    #[must_use]
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.by_id.get(&id).map(|index| &self.mounts[*index])
    }

    /// Whether a mount of this table shows the file system with this device (`st_dev`), and that is watched.
    #[must_use]
    pub fn watches_device(&self, device: u64) -> bool {
        self.devices.get(&device) == Some(&true)
    }

    /// The mount that an absolute path without links and dots leads to, mount by mount as the kernel goes.
    #[must_use]
    pub fn of_path(&self, path: &[u8]) -> Option<&Mount> {
        let mut mount = self.root().filter(|_| path.starts_with(b"/"))?;
        for end in (1..=path.len()).filter(|end| path.get(*end).is_none_or(|byte| *byte == b'/')) {
            mount = self.over(mount, &path[..end]).last().copied().unwrap_or(mount);
        }
        Some(mount)
    }

    /// Where paths start: the mount that lies on none of the table. What is mounted over `/` itself hides nothing.
    #[must_use]
    pub fn root(&self) -> Option<&Mount> {
        let is_root = |mount: &&Mount| mount.parent == mount.id || !self.by_id.contains_key(&mount.parent);
        self.at(b"/").find(is_root)
    }

    /// Mounts that whoever steps from `mount` on to `point`, which is not `/`, passes; the last one is where they arrive.
    pub(super) fn over<'a>(&'a self, mount: &'a Mount, point: &[u8]) -> Vec<&'a Mount> {
        let mut stack = Vec::new();
        let mut lowest = mount.id;
        // Each of them is passed once, however strange the table.
        for _ in self.at(point) {
            let Some(next) = self.at(point).filter(|next| next.parent == lowest && next.id != lowest).last() else { break };
            lowest = next.id;
            stack.push(next);
        }
        stack
    }

    fn at(&self, point: &[u8]) -> impl Iterator<Item = &Mount> {
        self.by_point.get(&PathBytes::new(point)).into_iter().flatten().map(|index| &self.mounts[*index])
    }

    /// SECURITY: one layer on FUSE is enough to hold whoever opens a file. Only what the table proves counts: an unreadable list, a
    /// relative path and a layer hidden below the overlay itself prove nothing.
    fn layers_are_local(&self, mount: &Mount, deep_max: usize) -> bool {
        let Some(layers) = mount.layers.as_ref().filter(|layers| !layers.is_empty() && deep_max > 0) else { return false };
        layers.iter().all(|layer| match self.of_path(layer) {
            Some(below) if below.is_layered() => below.id != mount.id && self.layers_are_local(below, deep_max - 1),
            Some(below) => below.watching == Watching::Watched,
            None => false,
        })
    }
}

/// The number of the mount an open file was reached through, without asking the filesystem anything.
#[must_use]
pub fn id_of(file: &(impl AsFd + AsRawFd)) -> Option<u64> {
    match glance(file) {
        Ok(Glance { mount: Some(mount), .. }) => Some(mount),
        _ => told_id_of(file),
    }
}

/// The same as older kernels tell it.
fn told_id_of(file: &impl AsRawFd) -> Option<u64> {
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
    let parent = number(fields.next()?)?;
    let mut device = fields.next()?.split(|byte| *byte == b':');
    let device = (number(device.next()?)?, number(device.next()?)?);
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let filesystem = String::from_utf8_lossy(fields.next()?).into_owned();
    let options = fields.nth(1).filter(|_| filesystem == OVERLAY);
    let (layers, upper) = (options.and_then(layers), options.and_then(upper));
    let watching = filesystem::watching(&filesystem);
    Some(Mount { id, parent, device, point: PathBytes::new(point), filesystem, root: PathBytes::new(root), watching, layers, upper })
}

/// The folders in an overlay's options: `lowerdir=/b:/a,upperdir=/c,workdir=/w`, or one `lowerdir+` or `datadir+` for each.
fn layers(options: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut layers = Vec::new();
    for option in options.split(|byte| *byte == b',') {
        let (name, value) = option.split_at(option.iter().position(|byte| *byte == b'=').unwrap_or(option.len()));
        let value = unescape(value.strip_prefix(b"=").unwrap_or_default());
        match name {
            // The work folder is on the filesystem of the upper one.
            b"lowerdir" => layers.extend(value.split(|byte| *byte == b':').filter(|layer| !layer.is_empty()).map(<[u8]>::to_vec)),
            b"upperdir" | b"lowerdir+" | b"datadir+" => layers.push(value),
            _ => {}
        }
    }
    // What is escaped a second time, against colons, is not worth understanding.
    let are_plain = layers.iter().all(|layer| layer.starts_with(b"/") && !layer.contains(&b'\\') && is_plain(layer));
    are_plain.then_some(layers)
}

/// The folder an overlay writes to.
fn upper(options: &[u8]) -> Option<Vec<u8>> {
    let upper = options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"upperdir="))?;
    Some(unescape(upper)).filter(|upper| upper.starts_with(b"/") && is_plain(upper))
}

/// Without names that mean another folder.
fn is_plain(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"." | b".."))
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
    use crate::exec::filesystem::LAYERS_UNKNOWN;

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
    fn a_path_is_followed_mount_by_mount() {
        // A FUSE program lies over the folder that a local filesystem is mounted below.
        let mounts = Mounts::parse(
            b"27 1 254:0 / / rw - ext4 /dev/vda rw
28 27 0:31 / /home/ann/disk rw - tmpfs tmpfs rw
29 27 0:32 / /home/ann rw - fuse ann rw
30 27 0:33 / / rw - fuse root rw
",
        );
        assert_eq!(mounts.root().unwrap().id, 27);
        assert_eq!(mounts.of_path(b"/home/ann/disk/tool").unwrap().id, 29);
        assert_eq!(mounts.of_path(b"/home/tool").unwrap().id, 27);
        let stack = |point| mounts.over(mounts.root().unwrap(), point).iter().map(|mount| mount.id).collect::<Vec<_>>();
        assert_eq!((stack(b"/home/ann"), stack(b"/home")), (vec![29], vec![]));
    }

    #[test]
    fn layers_are_watched_when_all_of_them_are_known_to_be_local() {
        let watching = |options: &str| {
            let table = format!(
                "27 1 254:0 / / rw - ext4 /dev/vda rw
28 27 0:31 / /far rw - fuse.sshfs far rw
29 27 0:32 / /over rw - overlay none rw,lowerdir=/a:/b,upperdir=/c,workdir=/w
30 27 0:33 / /asked rw - overlay overlay {options}
"
            );
            Mounts::parse(table.as_bytes()).by_id(30).unwrap().watching()
        };
        for local in ["rw,lowerdir=/a,upperdir=/b,workdir=/w", "ro,lowerdir=/a:/b", "ro,lowerdir=/over/x", "ro,lowerdir+=/a,datadir+=/b"] {
            assert_eq!(watching(local), Watching::Watched, "{local}");
        }
        for unknown in [
            "ro,lowerdir=/a:/far/b",
            "rw,lowerdir=/a,upperdir=/far/up,workdir=/far/w",
            "ro,lowerdir=l/A:l/B",
            "ro,lowerdir=/asked/x",
            "ro,lowerdir=/a/../far",
            "ro,lowerdir=/a\\134:b",
            "ro,lowerdir+=/a,datadir+=/far/x",
            "ro",
        ] {
            assert_eq!(watching(unknown), Watching::Impossible(LAYERS_UNKNOWN), "{unknown}");
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
