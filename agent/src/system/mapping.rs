//! A file mapped shared and writable: the way to change it of which the kernel tells nobody. The daemon maps no file; the project's
//! tests attack it so, and unsafe code has no other home.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MsFlags, ProtFlags, mmap, msync, munmap};

/// Such a mapping, as long as the file was when it was made; unmapped when dropped. Whoever shortens the file meanwhile ends the process
/// with SIGBUS at its next store.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: NonZeroUsize,
}

impl Mapping {
    /// Maps a file that is open for reading and writing; it may be closed afterwards.
    ///
    /// # Errors
    /// `InvalidInput` for an empty file; otherwise the kernel's.
    pub fn of(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).ok().and_then(NonZeroUsize::new).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: the kernel chooses a place where nothing of ours lies, and no reference into it is ever made.
        #[expect(unsafe_code, reason = "storing through a mapping needs one")]
        let start = unsafe { mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self { start: start.cast(), length })
    }

    /// Stores bytes at the file's beginning, as far as the mapping reaches.
    pub fn store(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.length.get());
        // SAFETY: `count` bytes can be read there, and written here, as the mapping is no shorter; it is new memory, so they do not
        // overlap.
        #[expect(unsafe_code, reason = "the mapping is only known by its address")]
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), count);
        }
    }

    /// Waits until what was stored is on the disk, as `msync(2)` does.
    ///
    /// # Errors
    /// The kernel's.
    pub fn flush(&self) -> io::Result<()> {
        // SAFETY: the address and length are those of our own mapping.
        #[expect(unsafe_code, reason = "the mapping is only known by its address")]
        Ok(unsafe { msync(self.start.cast(), self.length.get(), MsFlags::MS_SYNC) }?)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the address and length are those of our own mapping, and nothing refers into it.
        #[expect(unsafe_code, reason = "what was mapped has to be unmapped")]
        let unmapped = unsafe { munmap(self.start.cast(), self.length.get()) };
        debug_assert!(unmapped.is_ok(), "our own mapping can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_stored_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "before").unwrap();
        let mut mapping = Mapping::of(&File::options().read(true).write(true).open(&path).unwrap()).unwrap();
        mapping.store(b"aft");
        assert_eq!(fs::read(&path).unwrap(), b"aftore");
        mapping.store(b"longer than the file");
        mapping.flush().unwrap();
        drop(mapping);
        assert_eq!(fs::read(&path).unwrap(), b"longer");
    }

    #[test]
    fn an_empty_file_has_nothing_to_map() {
        assert_eq!(Mapping::of(&tempfile::tempfile().unwrap()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
