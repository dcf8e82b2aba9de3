//! Files only their owner can read: made whole or not at all, and never over another file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Largest key or certificate file read, in bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// Bits that would let anybody but the owner at a secret.
const OTHERS: u32 = 0o077;

/// Files made so far; removed again unless all of them were made.
#[derive(Default)]
pub(super) struct NewFiles {
    made: Vec<PathBuf>,
}

impl NewFiles {
    /// Writes a new file and waits until it is on disk.
    pub(super) fn write(&mut self, path: &Path, content: &str, mode: u32) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        self.made.push(path.to_owned());
        file.write_all(content.as_bytes())?;
        file.sync_all()
    }

    /// Keeps them, once the folder they are in is on disk too.
    pub(super) fn keep(mut self) -> io::Result<()> {
        for folder in self.made.iter().filter_map(|path| path.parent()) {
            File::open(folder)?.sync_all()?;
        }
        self.made.clear();
        Ok(())
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for path in &self.made {
            // What cannot be removed is found by the next try, which refuses to write over it and names it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes a folder for secrets, with those above it, unless it is there.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a bounded text file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether somebody beside the owner may read or write the file.
pub(super) fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(std::fs::metadata(path)?.permissions().mode() & OTHERS != 0)
}
