//! Which disks belong to this host, and what they are called for as long as they do. Reads sysfs only.
//!
//! A change time proves something only where nobody but this kernel wrote it. Whoever made an image or carries a stick away writes
//! what he likes into its inodes, and whoever holds the file behind a loop device changes bytes under a mounted file system without
//! any inode changing. So: fixed disks, and whatever the root of the file system itself lies on; no loop, network or memory devices,
//! no USB, nothing removable.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

/// Devices over devices over devices; LVM on LUKS on RAID on partitions is five.
const LAYERS_MAX: usize = 8;

/// Devices under one device.
const SLAVES_MAX: usize = 256;

/// Bytes read of one attribute.
const ATTRIBUTE_BYTES_MAX: u64 = 4096;

/// Where a disk says who it is, by its maker or its hypervisor.
const HARDWARE_NAMES: [&str; 4] = ["wwid", "device/wwid", "serial", "device/serial"];

/// Where devices made of others say who they are.
const LAYER_NAMES: [&str; 2] = ["dm/uuid", "md/uuid"];

/// The host's block devices.
#[derive(Debug)]
pub(super) struct Disks {
    /// Where sysfs is mounted.
    sys: PathBuf,
    /// Disks under the root of the file system.
    boot: BTreeSet<PathBuf>,
}

impl Disks {
    /// Those in the sysfs at `sys`; `root` is the device number of the root of the file system.
    pub(super) fn new(sys: &Path, root: u64) -> Self {
        let mut disks = Self { sys: sys.to_owned(), boot: BTreeSet::new() };
        if let Some(device) = disks.folder_of(root) {
            let mut boot = BTreeSet::new();
            // What is too tangled to be followed is no disk of the boot's.
            if bottoms(&device, LAYERS_MAX, &mut boot).is_some() {
                disks.boot = boot;
            }
        }
        disks
    }

    /// A name for the block device with this number that another device never has and that lasts until it is moved to another place
    /// in the machine; `None` when it is none of the host's own, or no block device.
    pub(super) fn lasting_name(&self, device: u64) -> Option<Vec<u8>> {
        self.name_of(&self.folder_of(device)?, LAYERS_MAX)
    }

    /// Whether a btrfs, by the id the kernel makes of its UUID and the subvolume's number, lies on the host's own disks alone. The
    /// id's lower half is made of the UUID only.
    pub(super) fn has_all_of_btrfs(&self, kernel_id: u64) -> bool {
        let Ok(entries) = fs::read_dir(self.sys.join("fs/btrfs")) else { return false };
        let mut found = entries.flatten().filter(|entry| btrfs_half(&entry.file_name()) == Some(kernel_id as u32));
        let (Some(filesystem), None) = (found.next(), found.next()) else { return false };
        let Ok(devices) = fs::read_dir(filesystem.path().join("devices")) else { return false };
        let mut count = 0;
        let are_own = devices.take(SLAVES_MAX).all(|device| {
            count += 1;
            device.and_then(|device| fs::canonicalize(device.path())).is_ok_and(|device| self.name_of(&device, LAYERS_MAX).is_some())
        });
        are_own && (1..SLAVES_MAX).contains(&count)
    }

    fn folder_of(&self, device: u64) -> Option<PathBuf> {
        fs::canonicalize(self.sys.join(format!("dev/block/{}:{}", major(device), minor(device)))).ok()
    }

    fn name_of(&self, device: &Path, layers: usize) -> Option<Vec<u8>> {
        let layers = layers.checked_sub(1)?;
        if let Some(number) = attribute(device, "partition") {
            return Some([self.name_of(device.parent()?, layers)?, b"\0partition\0".to_vec(), number].concat());
        }
        let slaves = slaves(device)?;
        if slaves.is_empty() {
            return (self.boot.contains(device) || is_fixed(device)).then(|| hardware_name(device));
        }
        let mut names = slaves.iter().map(|slave| self.name_of(slave, layers)).collect::<Option<Vec<_>>>()?;
        names.sort();
        let own = LAYER_NAMES.iter().find_map(|name| attribute(device, name)).unwrap_or_default();
        Some([own, b"\0over\0".to_vec(), names.join(&b"\0and\0"[..])].concat())
    }
}

/// What `btrfs_statfs` puts in the lower half of the file system's id, from the UUID as sysfs writes it.
fn btrfs_half(uuid: &OsStr) -> Option<u32> {
    let digits: String = uuid.to_str()?.chars().filter(|letter| *letter != '-').collect();
    let word = |at: usize| u32::from_str_radix(digits.get(at..at + 8)?, 16).ok();
    (digits.len() == 32).then_some(word(0)? ^ word(16)?)
}

/// Gathers the disks that a device lies on in the end; `None` when there is no end to it.
fn bottoms(device: &Path, layers: usize, into: &mut BTreeSet<PathBuf>) -> Option<()> {
    let layers = layers.checked_sub(1)?;
    if attribute(device, "partition").is_some() {
        return bottoms(device.parent()?, layers, into);
    }
    let slaves = slaves(device)?;
    if slaves.is_empty() {
        into.insert(device.to_owned());
    }
    slaves.iter().try_for_each(|slave| bottoms(slave, layers, into))
}

/// Devices that a device is made of; `None` when they cannot be told.
fn slaves(device: &Path) -> Option<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(device.join("slaves")) else { return Some(Vec::new()) };
    let slaves: Option<Vec<_>> = entries.take(SLAVES_MAX + 1).map(|entry| fs::canonicalize(entry.ok()?.path()).ok()).collect();
    slaves.filter(|slaves| slaves.len() <= SLAVES_MAX)
}

/// Whether a disk is built in, as far as the kernel knows.
fn is_fixed(disk: &Path) -> bool {
    let names = || disk.iter().filter_map(|name| name.to_str());
    // Disks reached over several paths are listed among the virtual ones.
    let is_virtual = names().any(|name| name == "virtual") && !names().any(|name| name == "nvme-subsystem");
    let is_carried = names().any(|name| name.starts_with("usb") || name.starts_with("firewire") || name.starts_with("mmc"));
    !is_virtual && !is_carried && attribute(disk, "removable").is_some_and(|value| value == b"0")
}

/// By its maker's name and its place in the machine. Letters and numbers that depend on which disk was found first are left out when
/// there is a maker's name; hypervisors often give none.
fn hardware_name(disk: &Path) -> Vec<u8> {
    let place = disk.as_os_str().as_encoded_bytes();
    match HARDWARE_NAMES.iter().find_map(|name| attribute(disk, name)) {
        Some(name) => {
            let cut = ["/block/", "/nvme/"].iter().filter_map(|part| place.windows(part.len()).position(|at| at == part.as_bytes())).min();
            [name, b"\0at\0".to_vec(), place[..cut.unwrap_or(place.len())].to_vec()].concat()
        }
        None => [b"\0at\0", place].concat(),
    }
}

/// An attribute without white space around it; `None` when it is not there, empty, or not worth the name.
fn attribute(device: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    File::open(device.join(name)).ok()?.take(ATTRIBUTE_BYTES_MAX).read_to_end(&mut value).ok()?;
    let value = value.trim_ascii();
    (!value.is_empty()).then(|| value.to_vec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::makedev;
    use tempfile::TempDir;

    use super::*;

    /// A sysfs with devices in it.
    struct Sys(TempDir);

    impl Sys {
        fn new() -> Self {
            let folder = TempDir::new().unwrap();
            fs::create_dir_all(folder.path().join("dev/block")).unwrap();
            Self(folder)
        }

        fn with(self, number: (u64, u64), place: &str, attributes: &[(&str, &str)], slaves: &[&str]) -> Self {
            let device = self.0.path().join("devices").join(place);
            fs::create_dir_all(device.join("slaves")).unwrap();
            for (name, value) in attributes {
                let path = device.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{value}\n")).unwrap();
            }
            for (at, slave) in slaves.iter().enumerate() {
                symlink(self.0.path().join("devices").join(slave), device.join(format!("slaves/{at}"))).unwrap();
            }
            symlink(&device, self.0.path().join(format!("dev/block/{}:{}", number.0, number.1))).unwrap();
            self
        }

        fn name(&self, root: (u64, u64), device: (u64, u64)) -> Option<Vec<u8>> {
            Disks::new(self.0.path(), makedev(root.0, root.1)).lasting_name(makedev(device.0, device.1))
        }
    }

    const FIXED: (&str, &str) = ("removable", "0");
    const NOTHING: (u64, u64) = (0, 99);

    #[test]
    fn fixed_disks_their_partitions_and_what_is_made_of_them_are_the_hosts_own() {
        let (vda, sda) = ("pci0/virtio1/block/vda", "pci0/ata1/host0/block/sda");
        let sys = Sys::new()
            .with((254, 0), vda, &[FIXED], &[])
            .with((8, 0), sda, &[FIXED, ("device/wwid", "naa.5000")], &[])
            .with((8, 1), "pci0/ata1/host0/block/sda/sda1", &[("partition", "1")], &[])
            .with((8, 2), "pci0/ata1/host0/block/sda/sda2", &[("partition", "2")], &[])
            .with((253, 0), "virtual/block/dm-0", &[FIXED, ("dm/uuid", "CRYPT-LUKS2-1")], &["pci0/ata1/host0/block/sda/sda1"])
            .with((253, 1), "virtual/block/dm-1", &[FIXED, ("dm/uuid", "LVM-1")], &["virtual/block/dm-0", vda])
            .with((259, 0), "virtual/nvme-subsystem/nvme-subsys0/nvme0n1", &[FIXED, ("wwid", "eui.01")], &[]);
        let names: Vec<_> =
            [(254, 0), (8, 0), (8, 1), (8, 2), (253, 0), (253, 1), (259, 0)].map(|at| sys.name(NOTHING, at).unwrap()).into();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn what_comes_and_goes_or_lies_in_a_file_is_not() {
        let sys = Sys::new()
            .with((7, 0), "virtual/block/loop0", &[FIXED], &[])
            .with((43, 0), "virtual/block/nbd0", &[FIXED], &[])
            .with((8, 16), "pci0/usb1/1-1/host3/block/sdb", &[FIXED, ("device/wwid", "naa.6000")], &[])
            .with((8, 17), "pci0/usb1/1-1/host3/block/sdb/sdb1", &[("partition", "1")], &[])
            .with((11, 0), "pci0/ata2/host1/block/sr0", &[("removable", "1")], &[])
            .with((254, 0), "pci0/virtio1/block/vda", &[FIXED], &[])
            .with((253, 0), "virtual/block/dm-0", &[FIXED, ("dm/uuid", "LVM-1")], &["virtual/block/loop0", "pci0/virtio1/block/vda"]);
        for device in [(7, 0), (43, 0), (8, 16), (8, 17), (11, 0), (253, 0), (1, 1)] {
            assert_eq!(sys.name(NOTHING, device), None, "{device:?}");
        }
        // But what the host boots from is its own, whatever it is.
        assert!(sys.name((8, 17), (8, 17)).is_some());
        assert!(sys.name((253, 0), (7, 0)).is_some());
        assert_eq!(sys.name((8, 17), (7, 0)), None);
    }

    #[test]
    fn two_disks_that_call_themselves_the_same_have_two_names_and_a_letter_is_no_name() {
        let attributes = [FIXED, ("serial", "QEMU")];
        let sys = |letter: &str, other: &str| {
            Sys::new().with((8, 0), &format!("pci0/ata1/block/{letter}"), &attributes, &[]).with(
                (8, 16),
                &format!("pci0/ata2/block/{other}"),
                &attributes,
                &[],
            )
        };
        let before = sys("sda", "sdb");
        assert_ne!(before.name(NOTHING, (8, 0)), before.name(NOTHING, (8, 16)));
    }

    #[test]
    fn a_btrfs_is_the_hosts_own_when_all_its_disks_are() {
        let place = "pci0/virtio1/block/vda";
        let sys = Sys::new().with((254, 0), place, &[FIXED], &[]).with((7, 0), "virtual/block/loop0", &[FIXED], &[]);
        let kernel_id = u64::from(0x0123_4567_u32 ^ 0x8899_aabb) | 5 << 32;
        let is_own = || Disks::new(sys.0.path(), 0).has_all_of_btrfs(kernel_id);
        assert!(!is_own());
        let devices = sys.0.path().join("fs/btrfs/01234567-89ab-cdef-8899-aabbccddeeff/devices");
        fs::create_dir_all(&devices).unwrap();
        assert!(!is_own(), "on no device at all");
        symlink(sys.0.path().join("devices").join(place), devices.join("vda")).unwrap();
        assert!(is_own());
        symlink(sys.0.path().join("devices/virtual/block/loop0"), devices.join("loop0")).unwrap();
        assert!(!is_own());
    }

    #[test]
    fn devices_that_lie_on_themselves_are_nobodys() {
        let sys = Sys::new().with((253, 0), "virtual/block/dm-0", &[], &["virtual/block/dm-0"]);
        assert_eq!(sys.name((253, 0), (253, 0)), None);
    }
}
