//! Where an open file lies, as far as that can be proven.
//!
//! The kernel's own text for a descriptor is stale after a rename, ambiguous between mount namespaces and relative to the layer on
//! an overlay's backing filesystem. Only a path that leads back to the very inode may earn package evidence; anything else is
//! kept for people alone, in a form that no path can have. Resolving never crosses into another mount, so neither FUSE nor an
//! automounter can hold whoever asks.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use doorward_policy::PathBytes;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use super::mount::{self, Mounts, Watching, below};

/// Permission bits of which one is enough for somebody other than the owner to write.
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
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

/// Finds where an open file lies, in this process's view of the mounts.
#[must_use]
pub fn locate(file: &File, mounts: &Mounts) -> Location {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let name = std::fs::read_link(link).map(|name| name.into_os_string().into_vec()).unwrap_or_default();
    let leads_back = lead(&name, mounts).is_some_and(|found| is_same_inode(file, &File::from(found)));
    let name = PathBytes::new(name);
    if leads_back { Location::Proven(name) } else { Location::Elsewhere(name) }
}

/// Follows a path from its mount point, crossing nothing and following no link, without opening what is there.
fn lead(path: &[u8], mounts: &Mounts) -> Option<OwnedFd> {
    let mount = mounts.of_path(path).filter(|mount| mount.watching() == Watching::Watched)?;
    let rest = below(path, mount.point.as_bytes()).filter(|rest| !rest.is_empty())?;
    let point = Path::new(OsStr::from_bytes(mount.point.as_bytes()));
    let folder = open(point, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    if mount::id_of(&folder) != Some(mount.id) {
        return None;
    }
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH);
    openat2(&folder, rest, how).ok()
}

/// Whether somebody other than root may put files into the folder of `path`, or into one above it. What cannot be looked at
/// counts as writable.
#[must_use]
pub fn folder_is_user_writable(path: &PathBytes) -> bool {
    let path = Path::new(OsStr::from_bytes(path.as_bytes()));
    path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).any(|folder| match fs::symlink_metadata(folder) {
        Ok(folder) => folder.uid() != 0 || folder.mode() & GROUP_OR_OTHERS_WRITE != 0 && !is_roots_own_group(&folder),
        Err(_) => true,
    })
}

/// A group's write bit harms nobody when the group is root's own and others have no such bit.
fn is_roots_own_group(folder: &fs::Metadata) -> bool {
    folder.gid() == 0 && folder.mode() & 0o002 == 0
}

fn is_same_inode(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> Mounts {
        Mounts::read(Path::new(mount::MOUNTINFO)).unwrap()
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
        assert!(folder_is_user_writable(&PathBytes::new(*b"/tmp/tool")));
        assert!(!folder_is_user_writable(&PathBytes::new(*b"/usr/bin/tool")));
        assert!(folder_is_user_writable(&PathBytes::new(*b"/usr/bin/no/such/folder/tool")));
    }

    #[test]
    fn names_are_bytes() {
        let (_kept, folder) = folder();
        let path = folder.join(OsStr::from_bytes(b"bad\xff\nname"));
        fs::write(&path, "x").unwrap();
        assert!(locate(&File::open(&path).unwrap(), &mounts()).proven().unwrap().as_bytes().ends_with(b"bad\xff\nname"));
    }
}
