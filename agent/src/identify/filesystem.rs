//! Names for file systems, and whether what is learnt of their inodes may be remembered under them.
//!
//! Remembered at all is only what lies where nobody but this kernel writes change times: on the host's own disks (see `disk`), in
//! memory, and on layers over such. The name outlives reboots where device and file system both have one that does: the disk's, with
//! the UUID under which udev lists the file system, or the kernel's own id where that is made from the UUID (ext2 to ext4). A UUID
//! alone names nothing: a copy has it too. Everything else has a name that holds until the next boot, made of boot id, device number,
//! type and the kernel's id.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use nix::sys::statfs::fstatfs;
use nix::sys::statvfs::fstatvfs;

use super::FilesystemId;
use super::disk::Disks;

/// Where udev keeps one link a file system, named by its UUID.
const LINKS_BY_UUID: &str = "/dev/disk/by-uuid";

/// Where the kernel tells of devices.
const SYSFS: &str = "/sys";

/// Random for each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Magic number of ext2, ext3 and ext4.
const EXT: u64 = 0xef53;

/// Magic number of btrfs, whose device numbers stand for no device.
const BTRFS: u64 = 0x9123_683e;

/// File systems on one block device that keep a change time of the kernel's own. FAT and exFAT, HFS and others show the modification
/// time in its place, which the owner of a file sets at will.
const ON_DISK: [u64; 14] = [
    EXT,
    0x5846_5342, // xfs
    0xf2f5_2010, // f2fs
    0x3153_464a, // jfs
    0x5265_4973, // reiserfs
    0x3434,      // nilfs2
    0x482b,      // hfsplus
    0x7366_746e, // ntfs3
    0x1501_3346, // udf
    0x9660,      // iso9660
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0x28cd_3d45, // cramfs
    0x7275,      // romfs
];

/// File systems in memory or flash, layers, and pools of disks that only root puts together; the change times are the kernel's own.
const ELSEWHERE: [u64; 6] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlay
    0x2405_1905, // ubifs
    0x72b6,      // jffs2
    0x2fc1_2fc1, // zfs
];

/// A file system, as far as identities are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filesystem {
    /// What its inodes are remembered under.
    pub id: FilesystemId,
    /// Whether they may be remembered: an unchanged identity there means unchanged content.
    pub is_remembered: bool,
}

/// File systems met so far, by device number (`st_dev`).
#[derive(Debug, Default)]
pub struct Filesystems {
    known: RwLock<HashMap<u64, Filesystem>>,
}

impl Filesystems {
    /// The file system that `file` is on, whose `st_dev` is `device`. For an overlay's file, any file of the overlay will do.
    ///
    /// # Errors
    /// The kernel's, when it cannot tell the file system's id.
    pub fn of(&self, device: u64, file: impl AsFd) -> Result<Filesystem, nix::Error> {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&device) {
            return Ok(*known);
        }
        let traits = Traits { kind: fstatfs(&file)?.filesystem_type().0 as u64, kernel_id: fstatvfs(&file)?.filesystem_id(), device };
        let root = fs::metadata("/").map_or(0, |root| root.dev());
        let boot = fs::read(BOOT_ID).unwrap_or_default();
        let filesystem = traits.judge(&Disks::new(Path::new(SYSFS), root), || uuid_of(Path::new(LINKS_BY_UUID), device), &boot);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(device, filesystem);
        Ok(filesystem)
    }

    /// The name of the file system that `file` is on, whose `st_dev` is `device`.
    ///
    /// # Errors
    /// As for [`Self::of`].
    pub fn id(&self, device: u64, file: impl AsFd) -> Result<FilesystemId, nix::Error> {
        Ok(self.of(device, file)?.id)
    }

    /// As [`Self::id`], when that is known already. Asks nobody.
    #[must_use]
    pub fn known(&self, device: u64) -> Option<FilesystemId> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&device).map(|known| known.id)
    }

    /// Forgets device numbers, which are given to another file system after an unmount. To be called when mounts change
    /// and before a scan.
    pub fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What the kernel says of a file system.
struct Traits {
    /// Its type's magic number.
    kind: u64,
    kernel_id: u64,
    device: u64,
}

impl Traits {
    /// `uuid` is asked only for file systems on the host's own disks.
    fn judge(&self, disks: &Disks, uuid: impl FnOnce() -> Option<Vec<u8>>, boot: &[u8]) -> Filesystem {
        let until_reboot = Name::UntilReboot { boot, device: self.device, kind: self.kind, kernel_id: self.kernel_id };
        let disk = match self.kind {
            BTRFS => return Filesystem { id: until_reboot.id(), is_remembered: disks.has_all_of_btrfs(self.kernel_id) },
            kind if ON_DISK.contains(&kind) => disks.lasting_name(self.device),
            kind => return Filesystem { id: until_reboot.id(), is_remembered: ELSEWHERE.contains(&kind) },
        };
        let Some(disk) = disk else { return Filesystem { id: until_reboot.id(), is_remembered: false } };
        let name = match uuid() {
            Some(uuid) => Name::Uuid { disk, uuid },
            None if self.kind == EXT => Name::Kernel { disk, kernel_id: self.kernel_id },
            None => until_reboot,
        };
        Filesystem { id: name.id(), is_remembered: true }
    }
}

fn uuid_of(links: &Path, device: u64) -> Option<Vec<u8>> {
    let entries = fs::read_dir(links).ok()?;
    entries
        .flatten()
        .find(|entry| fs::metadata(entry.path()).is_ok_and(|target| target.rdev() == device))
        .map(|entry| entry.file_name().into_encoded_bytes())
}

/// What a file system is called, and for how long.
enum Name<'a> {
    Uuid { disk: Vec<u8>, uuid: Vec<u8> },
    Kernel { disk: Vec<u8>, kernel_id: u64 },
    UntilReboot { boot: &'a [u8], device: u64, kind: u64, kernel_id: u64 },
}

impl Name<'_> {
    fn id(&self) -> FilesystemId {
        let mut hasher = blake3::Hasher::new();
        match self {
            Self::Uuid { disk, uuid } => {
                hasher.update(b"disk, uuid\0").update(&(disk.len() as u64).to_be_bytes()).update(disk).update(uuid)
            }
            Self::Kernel { disk, kernel_id } => hasher.update(b"disk, kernel\0").update(&kernel_id.to_be_bytes()).update(disk),
            Self::UntilReboot { boot, device, kind, kernel_id } => {
                let numbers = [*device, *kind, *kernel_id].map(u64::to_be_bytes);
                hasher.update(b"boot\0").update(numbers.as_flattened()).update(boot)
            }
        };
        let digest = hasher.finalize();
        FilesystemId(u64::from_be_bytes(std::array::from_fn(|at| digest.as_bytes()[at])))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn one_file_system_has_one_name_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(folder.path()).unwrap();
        let device = file.metadata().unwrap().dev();
        let filesystems = Filesystems::default();
        assert_eq!(filesystems.known(device), None);
        let id = filesystems.id(device, &file).unwrap();
        assert_eq!(filesystems.known(device), Some(id));
        filesystems.forget();
        assert_eq!(filesystems.id(device, &file).unwrap(), id);
    }

    #[test]
    fn names_of_different_forms_never_meet() {
        let disk = || b"disk".to_vec();
        let boot = |boot| Name::UntilReboot { boot, device: 7, kind: 7, kernel_id: 7 };
        let names = [
            Name::Uuid { disk: disk(), uuid: 7u64.to_be_bytes().to_vec() },
            Name::Uuid { disk: b"copy".to_vec(), uuid: 7u64.to_be_bytes().to_vec() },
            Name::Kernel { disk: disk(), kernel_id: 7 },
            Name::Kernel { disk: b"copy".to_vec(), kernel_id: 7 },
            boot(b"one"),
            boot(b"two"),
        ];
        let ids: std::collections::BTreeSet<_> = names.iter().map(Name::id).collect();
        assert_eq!(ids.len(), names.len());
    }

    #[test]
    fn nothing_is_remembered_where_others_write_change_times() {
        let nowhere = tempfile::tempdir().unwrap();
        let disks = Disks::new(nowhere.path(), 0);
        let is_remembered = |kind| Traits { kind, kernel_id: 1, device: 1 }.judge(&disks, || None, b"boot").is_remembered;
        let (fat, exfat, fuse, nfs, ninep) = (0x4d44, 0x2011_bab0, 0x6573_5546, 0x6969, 0x0102_1997);
        for kind in [fat, exfat, fuse, nfs, ninep, EXT, BTRFS, 0] {
            assert!(!is_remembered(kind), "{kind:x}, which is on no disk of the host's own");
        }
        assert!(ELSEWHERE.into_iter().all(is_remembered));
    }
}
