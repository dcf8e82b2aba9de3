//! A page of memory that two processes share, as words that can only be touched atomically.
//!
//! The page is a memfd whose size is sealed, so neither side can take the memory from under the other (SIGBUS).

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

/// Words a page offers.
pub const WORDS: usize = 8;
/// Size of the memory behind it. Machines with larger pages map the rest as zeros that nobody touches.
const PAGE_BYTES: usize = 4096;
/// What is sealed: the size, and the seals themselves.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// A mapping of such a page; unmapped when dropped, while the memory lives for as long as anybody maps it.
#[derive(Debug)]
pub struct SharedPage(NonNull<[AtomicU64; WORDS]>);

// SAFETY: the mapping belongs to the process, not to a thread, and everything in it is atomic.
#[expect(unsafe_code, reason = "a raw pointer forgets that what it points to may be shared")]
unsafe impl Send for SharedPage {}
// SAFETY: as above; only shared references to atomics are ever given out.
#[expect(unsafe_code, reason = "a raw pointer forgets that what it points to may be shared")]
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Makes a page of zeros and maps it. The descriptor is what another process needs to map the same page; it is
    /// close-on-exec. `name` shows up in `/proc/PID/maps` only.
    ///
    /// # Errors
    /// Out of memory or descriptors.
    pub fn create(name: &str) -> io::Result<(Self, OwnedFd)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        // Kernels from 6.3 on can be told to refuse memory files that might be executed; older ones do not know the flag.
        let memory = match memfd_create(name, flags | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL)) {
            Err(Errno::EINVAL) => memfd_create(name, flags),
            outcome => outcome,
        }?;
        ftruncate(&memory, PAGE_BYTES as libc::off_t)?;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(SEALS))?;
        Ok((Self::map(&memory)?, memory))
    }

    /// Maps a page that another process made.
    ///
    /// # Errors
    /// `InvalidInput` when the descriptor is not a sealed page of the right size; otherwise the kernel's.
    pub fn map(memory: impl AsFd) -> io::Result<Self> {
        let seals = fcntl(memory.as_fd(), FcntlArg::F_GET_SEALS).map_or(SealFlag::empty(), SealFlag::from_bits_retain);
        if !seals.contains(SEALS) || fstat(memory.as_fd())?.st_size != PAGE_BYTES as libc::off_t {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let bytes = NonZeroUsize::new(PAGE_BYTES).expect("a page is not empty");
        // SAFETY: the kernel chooses a place where nothing of ours lies. The memory behind is as long as the mapping and stays so,
        // because its size was found to be sealed.
        #[expect(unsafe_code, reason = "sharing memory with another process needs a mapping")]
        let start = unsafe { mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, memory, 0) }?;
        Ok(Self(start.cast()))
    }

    /// The words. Whoever shares the page may change any of them at any time.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: the pointer comes from `mmap`, so it is aligned to a page, and PAGE_BYTES are more than the words; any bytes are valid
        // words; the mapping stands until `drop`, which needs the borrow to be over.
        #[expect(unsafe_code, reason = "the mapping is only known by its address")]
        unsafe {
            self.0.as_ref()
        }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the address and length are those of our own mapping, and no reference into it outlives `self`.
        #[expect(unsafe_code, reason = "what was mapped has to be unmapped")]
        let unmapped = unsafe { munmap(self.0.cast(), PAGE_BYTES) };
        debug_assert!(unmapped.is_ok(), "our own mapping can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_show_the_same_words() {
        let (one, memory) = SharedPage::create("test").unwrap();
        let other = SharedPage::map(&memory).unwrap();
        drop(memory);
        one.words()[WORDS - 1].store(7, Ordering::Relaxed);
        assert_eq!(other.words()[WORDS - 1].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn nobody_can_take_the_memory_away() {
        let (_page, memory) = SharedPage::create("test").unwrap();
        assert_eq!(ftruncate(&memory, 0), Err(Errno::EPERM));
    }

    #[test]
    fn a_file_that_could_shrink_is_not_mapped() {
        let file = File::open("/proc/self/exe").unwrap();
        assert_eq!(SharedPage::map(&file).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
