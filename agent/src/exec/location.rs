//! Where an open file lies, as far as that can be proven.
//!
//! The kernel's own text for a descriptor is stale after a rename, ambiguous between mount namespaces and relative to the layer on
//! an overlay's backing filesystem. Only a path that leads back to the very inode may earn package evidence; anything else is
//! kept for people alone, in a form that no path can have. Paths are followed by `walk` alone, so neither FUSE nor an
//! automounter can hold whoever asks.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;

use doorward_policy::PathBytes;
use nix::sys::stat::fstat;

use super::mount::Mounts;
use super::walk::{Place, walk};

/// Suffix the kernel appends to the name of a file without a name.
const DELETED: &[u8] = b" (deleted)";

/// Where a file was met.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A path that led to this very inode a moment ago.
    Proven(PathBytes),
    /// What the kernel calls it; no path that can be followed from here leads to it.
    Elsewhere(PathBytes),
}

impl Location {
    /// The path evidence may be asked for.
    #[must_use]
    pub const fn proven(&self) -> Option<&PathBytes> {
        match self {
            Self::Proven(path) => Some(path),
            Self::Elsewhere(_) => None,
        }
    }

    /// Whether the kernel calls it a file without a name.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        matches!(self, Self::Elsewhere(name) if name.as_bytes().ends_with(DELETED))
    }

    /// What reports say: the path, or `(deleted)/old/name` or `(elsewhere)/name`, which can never be mistaken for one because
    /// paths start with a slash.
    #[must_use]
    pub fn reported(&self) -> PathBytes {
        match self {
            Self::Proven(path) => path.clone(),
            Self::Elsewhere(name) => match name.as_bytes().strip_suffix(DELETED) {
                Some(name) => PathBytes::new([b"(deleted)", name].concat()),
                None => PathBytes::new([b"(elsewhere)", name.as_bytes()].concat()),
            },
        }
    }
}

/// Where a file was met, and who may put files there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    /// Where.
    pub location: Location,
    /// Somebody other than root may put files into its folder, or into one above it; so does whatever has no proven path.
    pub user_writable_folder: bool,
}

/// Finds where an open file lies, in this process's view of the mounts. Waits for nothing but local disks.
#[must_use]
pub fn find(file: &File, mounts: &Mounts) -> Found {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let name = std::fs::read_link(link).map(|name| name.into_os_string().into_vec()).unwrap_or_default();
    let place = name.starts_with(b"/").then(|| walk(&name, mounts).ok()).flatten().filter(|place| is_same_inode(file, place));
    let name = PathBytes::new(name);
    match place {
        Some(place) => Found { location: Location::Proven(name), user_writable_folder: place.user_writable.contains(&true) },
        None => Found { location: Location::Elsewhere(name), user_writable_folder: true },
    }
}

/// What the kernel calls an open file, without looking where that leads.
#[must_use]
pub fn named(file: &File) -> Location {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    Location::Elsewhere(PathBytes::new(std::fs::read_link(link).map(|name| name.into_os_string().into_vec()).unwrap_or_default()))
}

/// The location alone of [`find`].
#[must_use]
pub fn locate(file: &File, mounts: &Mounts) -> Location {
    find(file, mounts).location
}

fn is_same_inode(file: &File, place: &Place) -> bool {
    match (fstat(file), fstat(&place.file)) {
        (Ok(file), Ok(place)) => (file.st_dev, file.st_ino) == (place.st_dev, place.st_ino),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;
    use crate::exec::mount::MOUNTINFO;

    fn mounts() -> Mounts {
        Mounts::read(Path::new(MOUNTINFO)).unwrap()
    }

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_at_its_place_is_proven() {
        let (_kept, folder) = folder();
        let path = folder.join("tool");
        fs::write(&path, "x").unwrap();
        let location = locate(&File::open(&path).unwrap(), &mounts());
        assert_eq!(location, Location::Proven(PathBytes::new(path.as_os_str().as_bytes())));
    }

    #[test]
    fn a_deleted_file_has_a_name_and_no_path() {
        let (_kept, folder) = folder();
        let path = folder.join("gone");
        fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let location = locate(&file, &mounts());
        assert_eq!(location.proven(), None);
        assert_eq!(location.reported().to_string(), format!("(deleted){}", path.display()));
    }

    #[test]
    fn a_name_that_now_leads_to_another_file_proves_nothing() {
        let (_kept, folder) = folder();
        let path = folder.join("gone");
        fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // The kernel's text for the first file is exactly this second file's name.
        fs::write(folder.join("gone (deleted)"), "y").unwrap();
        assert_eq!(locate(&file, &mounts()).proven(), None);
    }

    #[test]
    fn a_pipe_is_nowhere() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let location = locate(&File::from(OwnedFd::from(reader)), &mounts());
        assert_eq!(location.proven(), None);
        assert!(location.reported().as_bytes().starts_with(b"(elsewhere)pipe:"));
    }

    #[test]
    fn a_folder_for_everybody_is_user_writable() {
        let (_kept, folder) = folder();
        let path = folder.join("tool");
        fs::write(&path, "x").unwrap();
        let found = |path: &Path| find(&File::open(path).unwrap(), &mounts());
        assert!(found(&path).user_writable_folder, "below /tmp");
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        let shell = found(&shell);
        assert!(shell.location.proven().is_some() && !shell.user_writable_folder, "{shell:?}");
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(find(&file, &mounts()).user_writable_folder, "who knows where it was");
    }

    #[test]
    fn names_are_bytes() {
        let (_kept, folder) = folder();
        let path = folder.join(OsStr::from_bytes(b"bad\xff\nname"));
        fs::write(&path, "x").unwrap();
        assert!(locate(&File::open(&path).unwrap(), &mounts()).proven().unwrap().as_bytes().ends_with(b"bad\xff\nname"));
    }
}
