//! Names for file systems that stay the same over reboots, so that what was learnt of their inodes does too.
//!
//! In order: the UUID under which udev lists the device; the kernel's own file system id where that is made from the UUID
//! (ext2 to ext4, and btrfs, where it tells subvolumes apart); else a name that holds until the next boot (tmpfs, overlay,
//! anything without udev), made of boot id, device number and the kernel's id. Weak spot: two copies of one disk in one
//! host share a name; an inode of theirs is then one identity until it changes on either side, and until then it holds the
//! same bytes.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, fstatfs};
use nix::sys::statvfs::fstatvfs;

use super::FilesystemId;

/// Where udev keeps one link a file system, named by its UUID.
const LINKS_BY_UUID: &str = "/dev/disk/by-uuid";

/// Random for each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// File systems met so far, by device number (`st_dev`).
#[derive(Debug, Default)]
pub struct Filesystems {
    known: RwLock<HashMap<u64, FilesystemId>>,
}

impl Filesystems {
    /// The name of the file system that `file` is on, whose `st_dev` is `device`.
    ///
    /// # Errors
    /// The kernel's, when it cannot tell the file system's id.
    pub fn id(&self, device: u64, file: impl AsFd) -> Result<FilesystemId, nix::Error> {
        if let Some(id) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&device) {
            return Ok(*id);
        }
        let kernel_id = fstatvfs(&file)?.filesystem_id();
        let name = match uuid_of(Path::new(LINKS_BY_UUID), device) {
            Some(uuid) => Name::Uuid(uuid),
            None if has_lasting_kernel_id(fstatfs(&file)?.filesystem_type()) => Name::Kernel(kernel_id),
            None => Name::UntilReboot { boot: fs::read(BOOT_ID).unwrap_or_default(), device, kernel_id },
        };
        let id = name.id();
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(device, id);
        Ok(id)
    }

    /// Forgets device numbers, which are given to another file system after an unmount. To be called when mounts change
    /// and before a scan.
    pub fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn has_lasting_kernel_id(filesystem: FsType) -> bool {
    // ext2 and ext3 have ext4's magic number.
    [EXT4_SUPER_MAGIC, BTRFS_SUPER_MAGIC].contains(&filesystem)
}

fn uuid_of(links: &Path, device: u64) -> Option<Vec<u8>> {
    let entries = fs::read_dir(links).ok()?;
    entries
        .flatten()
        .find(|entry| fs::metadata(entry.path()).is_ok_and(|target| target.rdev() == device))
        .map(|entry| entry.file_name().into_encoded_bytes())
}

/// What a file system is called, and for how long.
enum Name {
    Uuid(Vec<u8>),
    Kernel(u64),
    UntilReboot { boot: Vec<u8>, device: u64, kernel_id: u64 },
}

impl Name {
    fn id(&self) -> FilesystemId {
        let mut hasher = blake3::Hasher::new();
        match self {
            Self::Uuid(uuid) => hasher.update(b"uuid\0").update(uuid),
            Self::Kernel(id) => hasher.update(b"kernel\0").update(&id.to_be_bytes()),
            Self::UntilReboot { boot, device, kernel_id } => {
                hasher.update(b"boot\0").update(&device.to_be_bytes()).update(&kernel_id.to_be_bytes()).update(boot)
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
        let id = filesystems.id(device, &file).unwrap();
        filesystems.forget();
        assert_eq!(filesystems.id(device, &file).unwrap(), id);
    }

    #[test]
    fn names_of_different_forms_never_meet() {
        let names = [
            Name::Uuid(7u64.to_be_bytes().to_vec()),
            Name::Kernel(7),
            Name::UntilReboot { boot: b"one".to_vec(), device: 7, kernel_id: 7 },
            Name::UntilReboot { boot: b"two".to_vec(), device: 7, kernel_id: 7 },
        ];
        let ids: std::collections::BTreeSet<_> = names.iter().map(Name::id).collect();
        assert_eq!(ids.len(), names.len());
    }
}
