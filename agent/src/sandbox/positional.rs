//! A file read by offset alone, so that the position that its owner shares with the helper never moves. The helper may neither seek
//! nor stat.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Reads and seeks without touching the descriptor's position.
pub(super) struct Positional<'a> {
    file: &'a File,
    size: u64,
    at: u64,
}

impl<'a> Positional<'a> {
    /// `size` as the owner of the file knows it; what lies behind is not read.
    pub(super) const fn new(file: &'a File, size: u64) -> Self {
        Self { file, size, at: 0 }
    }

    /// The file itself.
    #[cfg(test)]
    pub(super) const fn file(&self) -> &File {
        self.file
    }
}

impl Read for Positional<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = into.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut into[..wanted], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Positional<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn reads_and_seeks_like_the_file_and_leaves_its_position_alone() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        file.seek(SeekFrom::Start(7)).unwrap();
        let mut positional = Positional::new(&file, 10);
        let mut two = [0; 2];
        positional.read_exact(&mut two).unwrap();
        assert_eq!((&two, positional.seek(SeekFrom::Current(2)).unwrap()), (b"01", 4));
        assert_eq!(positional.seek(SeekFrom::End(-1)).unwrap(), 9);
        let mut rest = String::new();
        positional.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "9");
        assert!(positional.seek(SeekFrom::Current(-11)).is_err());
        assert_eq!(file.stream_position().unwrap(), 7);
    }

    #[test]
    fn nothing_is_read_behind_the_size_that_was_told() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut text = String::new();
        Positional::new(&file, 4).read_to_string(&mut text).unwrap();
        assert_eq!(text, "0123");
    }
}
