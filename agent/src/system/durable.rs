//! Replacing a small file so that a power cut leaves the old content or the new one, never a mixture or nothing.
//! For files of one writer; the writer's own lock keeps others away.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name under which new content grows beside the file it will replace. Left-overs of a crash are overwritten next time.
#[must_use]
pub fn growing(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".new");
    path.with_file_name(name)
}

/// Puts `content` in the place of `path` with exactly `mode`, on disk when it returns.
///
/// # Errors
/// Whatever the file system says; the old content is then untouched.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let new = growing(path);
    write(&new, content, mode)?;
    fs::rename(&new, path)?;
    sync_folder(path)
}

/// Writes a file that nobody reads yet and syncs it; an older one of that name is removed first, so that neither its owner,
/// its mode nor a link in its place is inherited.
///
/// # Errors
/// Whatever the file system says.
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes renames and new names in the folder of `path` survive a power cut.
///
/// # Errors
/// Whatever the file system says.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_secret_replaces_what_was_there_and_keeps_only_its_own_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!growing(&path).exists());
    }

    #[test]
    fn a_link_left_in_the_place_of_the_growing_file_is_removed_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.bin");
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, growing(&path)).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }
}
