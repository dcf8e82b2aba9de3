//! Where the readers of this crate take bytes from: the head of a file already in memory, or the whole file by seeking.
//! One reader serves both, so a file cannot be one thing by its head and another by its whole.

use std::io::{self, Read, Seek, SeekFrom};

use crate::HEAD_BYTES;

/// Bytes fetched at a time from a file; neighbouring small reads are served from memory.
const PAGE_BYTES: usize = 16 * 1024;

/// Why a reader could not come to an answer.
pub(crate) enum Stop {
    /// The bytes asked for lie behind the head; the same question may be put to the whole file.
    BeyondHead,
    /// The file could not be read.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Random access to bytes of which any number may be missing.
pub(crate) trait Source {
    /// Fills `into` from offset `at` and returns how many bytes there were; fewer than asked for means end of file.
    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<usize, Stop>;

    /// Bytes in the whole file.
    fn size(&mut self) -> Result<u64, Stop>;

    /// All `N` bytes at `at`, or `None` when the file ends before.
    fn array<const N: usize>(&mut self, at: u64) -> Result<Option<[u8; N]>, Stop> {
        let mut bytes = [0; N];
        Ok((self.read_at(at, &mut bytes)? == N).then_some(bytes))
    }
}

/// The first bytes of a file; the whole file when there are fewer than [`HEAD_BYTES`].
pub(crate) struct Head<'a>(pub(crate) &'a [u8]);

impl Head<'_> {
    const fn is_whole_file(&self) -> bool {
        self.0.len() < HEAD_BYTES
    }
}

impl Source for Head<'_> {
    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<usize, Stop> {
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(self.0.len());
        let present = &self.0[start..];
        let count = present.len().min(into.len());
        if count < into.len() && !self.is_whole_file() {
            return Err(Stop::BeyondHead);
        }
        into[..count].copy_from_slice(&present[..count]);
        Ok(count)
    }

    fn size(&mut self) -> Result<u64, Stop> {
        if self.is_whole_file() { Ok(self.0.len() as u64) } else { Err(Stop::BeyondHead) }
    }
}

/// A file read one page at a time, wherever the reader wants to look.
pub(crate) struct Paged<'a, F> {
    file: &'a mut F,
    page: Vec<u8>,
    page_at: u64,
}

impl<'a, F: Read + Seek> Paged<'a, F> {
    pub(crate) const fn new(file: &'a mut F) -> Self {
        Self { file, page: Vec::new(), page_at: 0 }
    }

    /// The bytes of the page from `at` on; empty at the end of the file.
    fn page_from(&mut self, at: u64) -> io::Result<&[u8]> {
        let page_at = at - at % PAGE_BYTES as u64;
        if self.page.is_empty() || self.page_at != page_at {
            self.page.clear();
            self.page_at = page_at;
            self.file.seek(SeekFrom::Start(page_at))?;
            self.file.by_ref().take(PAGE_BYTES as u64).read_to_end(&mut self.page)?;
        }
        let skip = (at % PAGE_BYTES as u64) as usize;
        Ok(self.page.get(skip..).unwrap_or_default())
    }
}

impl<F: Read + Seek> Source for Paged<'_, F> {
    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<usize, Stop> {
        // Kernel offsets are signed: nothing lies behind i64::MAX, and a seek there would be an error instead of an end.
        if at.checked_add(into.len() as u64).is_none_or(|end| i64::try_from(end).is_err()) {
            return Ok(0);
        }
        let mut filled = 0;
        while filled < into.len() {
            let present = self.page_from(at + filled as u64)?;
            let count = present.len().min(into.len() - filled);
            if count == 0 {
                break;
            }
            into[filled..filled + count].copy_from_slice(&present[..count]);
            filled += count;
        }
        Ok(filled)
    }

    fn size(&mut self) -> Result<u64, Stop> {
        Ok(self.file.seek(SeekFrom::End(0))?)
    }
}
