//! Which layer of an overlay a file lies in, for people: a container's image is its read-only layers, and what was put there since is in
//! the upper one. Nothing is decided by it.
//!
//! A layer is told only where its very file is found, at the same name and with the same inode or, where the overlay shows one of its
//! own, with the same size and times. The mount table of a container is its maker's word; it can only point to such a file.

use std::fs::File;

use doorward_policy::PathBytes;
use doorward_proto::report::Layer;
use nix::sys::stat::{FileStat, fstat};

use super::location::Location;
use super::mount::{Mount, Mounts, below};
use super::walk::walk;

/// Bytes read of a container's mount table for this.
const TABLE_BYTES_MAX: u64 = 64 << 10;
/// Names looked for on behalf of one file; a walk takes some 20 microseconds.
const LOOKS_MAX: usize = 64;

/// The layer an open file lies in, which a process of this number uses or used. `None` where there are no layers, or nobody can tell.
#[must_use]
pub fn find(file: &File, location: &Location, pid: Option<i32>, mounts: &Mounts) -> Option<Layer> {
    if let Some(path) = location.proven() {
        let mount = mounts.of_path(path.as_bytes())?;
        return match mount.is_layered() {
            true => Search::new(file, mounts)?.in_overlay(mount, &[below(path.as_bytes(), mount.point.as_bytes())?]),
            false => of_path(path.as_bytes(), mounts),
        };
    }
    let Location::Elsewhere(name) = location else { return None };
    let name = name.as_bytes().strip_prefix(b"/")?;
    let mut search = Search::new(file, mounts)?;
    let foreign = pid.and_then(|pid| Mounts::read_at_most(std::path::Path::new(&format!("/proc/{pid}/mountinfo")), TABLE_BYTES_MAX).ok());
    let tables = [foreign.as_ref().map(|(table, _)| table), Some(mounts)];
    tables.into_iter().flatten().flat_map(Mounts::iter).filter(|mount| mount.is_layered()).find_map(|mount| {
        // The name may be seen from the overlay's own root or from that of the namespace it is mounted in.
        let inner = below(&[b"/", name].concat(), mount.point.as_bytes()).map(<[u8]>::to_vec);
        let inner = inner.filter(|inner| inner != name);
        search.in_overlay(mount, &[&[name][..], &inner.as_deref().into_iter().collect::<Vec<_>>()].concat())
    })
}

/// The layer that a path of this process's own leads into without going through the overlay.
#[must_use]
pub fn of_path(path: &[u8], mounts: &Mounts) -> Option<Layer> {
    let layers = mounts.iter().flat_map(Mount::layers_in_order);
    layers
        .into_iter()
        .find(|(_, folder)| below(path, folder).is_some())
        .map(|(upper, folder)| Layer { upper, folder: PathBytes::new(folder) })
}

struct Search<'a> {
    file: FileStat,
    mounts: &'a Mounts,
    looks: usize,
}

impl<'a> Search<'a> {
    fn new(file: &File, mounts: &'a Mounts) -> Option<Self> {
        Some(Self { file: fstat(file).ok()?, mounts, looks: 0 })
    }

    fn in_overlay(&mut self, mount: &Mount, names: &[&[u8]]) -> Option<Layer> {
        let found = mount.layers_in_order().into_iter().find(|(_, folder)| names.iter().any(|name| self.has(folder, name)));
        found.map(|(upper, folder)| Layer { upper, folder: PathBytes::new(folder) })
    }

    fn has(&mut self, folder: &[u8], name: &[u8]) -> bool {
        self.looks += 1;
        if self.looks > LOOKS_MAX {
            return false;
        }
        let place = walk(&[folder, b"/", name].concat(), self.mounts).ok();
        place.and_then(|place| fstat(&place.file).ok()).is_some_and(|stat| is_same(&self.file, &stat))
    }
}

/// The very inode; or what an overlay shows of it, which has a device of its own.
fn is_same(file: &FileStat, other: &FileStat) -> bool {
    let times = |stat: &FileStat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec, stat.st_size, stat.st_mode);
    (file.st_dev, file.st_ino) == (other.st_dev, other.st_ino) || file.st_dev != other.st_dev && times(file) == times(other)
}

/// In words.
#[must_use]
pub fn text(layer: &Layer) -> String {
    let which = if layer.upper { "the upper layer of an overlay, which is written to" } else { "a read-only lower layer of an overlay" };
    format!("{which} ({})", layer.folder)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;
    use crate::exec::mount::MOUNTINFO;

    /// This machine's mounts, and an overlay over two folders at a place where nothing is.
    fn with_overlay(lower: &Path, upper: &Path) -> Mounts {
        let mut text = fs::read(MOUNTINFO).unwrap();
        let options = format!("rw,lowerdir={},upperdir={},workdir=/w", lower.display(), upper.display());
        text.extend_from_slice(format!("999999 1 0:9999 / /nowhere/merged rw - overlay overlay {options}\n").as_bytes());
        Mounts::parse(&text)
    }

    #[test]
    fn a_file_is_told_by_the_layer_that_holds_its_inode() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (lower, upper) = (folder.join("lower"), folder.join("upper"));
        for layer in [&lower, &upper] {
            fs::create_dir_all(layer.join("usr/bin")).unwrap();
        }
        fs::write(lower.join("usr/bin/image"), "x").unwrap();
        fs::write(lower.join("usr/bin/both"), "x").unwrap();
        fs::write(upper.join("usr/bin/both"), "y").unwrap();
        fs::write(folder.join("apart"), "x").unwrap();
        let mounts = with_overlay(&lower, &upper);
        let found = |path: &Path, name: &str| {
            let layer = find(&File::open(path).unwrap(), &Location::Elsewhere(PathBytes::new(name.as_bytes())), None, &mounts)?;
            Some((layer.upper, layer.folder))
        };
        let told = |is_upper, folder: &Path| Some((is_upper, PathBytes::new(folder.as_os_str().as_bytes())));
        assert_eq!(found(&lower.join("usr/bin/image"), "/usr/bin/image"), told(false, &lower));
        assert_eq!(found(&upper.join("usr/bin/both"), "/usr/bin/both"), told(true, &upper));
        assert_eq!(found(&lower.join("usr/bin/both"), "/usr/bin/both"), told(false, &lower), "by its inode, not by its name");
        assert_eq!(found(&upper.join("usr/bin/both"), "/nowhere/merged/usr/bin/both"), told(true, &upper));
        assert_eq!(found(&folder.join("apart"), "/usr/bin/image"), None, "another file of that name");
        assert_eq!(of_path(upper.join("usr/bin/both").as_os_str().as_bytes(), &mounts).map(|layer| layer.upper), Some(true));
        assert_eq!(of_path(folder.join("apart").as_os_str().as_bytes(), &mounts), None);
    }
}
