//! The outer container. Headers of 60 bytes of text, members at even offsets; see `deb(5)`.

use std::io::{self, Read};

use super::{Compression, Problem};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;
const HEADER_END: &[u8; 2] = b"`\n";

/// Members looked at; a package has three, and perhaps some of the kind that is to be ignored.
const MEMBERS_MAX: u32 = 16;

/// The container. Reads as the member whose header was read last.
pub(super) struct Ar<R> {
    reader: R,
    /// Bytes of the member that were not read yet.
    left: u64,
    /// The byte that fills it up to an even offset.
    padding: u64,
    members: u32,
}

impl<R: Read> Ar<R> {
    pub(super) fn open(mut reader: R) -> Result<Self, Problem> {
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic).map_err(Problem::Io)?;
        if magic != *MAGIC {
            return Err(Problem::NotAnArchive);
        }
        Ok(Self { reader, left: 0, padding: 0, members: 0 })
    }

    /// Goes to the next member and tells its name.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, Problem> {
        io::copy(&mut self.reader.by_ref().take(self.left + self.padding), &mut io::sink()).map_err(Problem::Io)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        self.reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(Problem::Io)?;
        self.members += 1;
        if header.len() < HEADER_BYTES || !header.ends_with(HEADER_END) || self.members > MEMBERS_MAX {
            return Err(Problem::Header);
        }
        let name = header[..16].trim_ascii_end();
        let name = name.strip_suffix(b"/").unwrap_or(name).to_vec();
        self.left = decimal(header[48..58].trim_ascii_end()).ok_or(Problem::Header)?;
        self.padding = self.left % 2;
        Ok(name)
    }

    /// Goes to the member of this stem, which must be the next one but for those that are to be ignored.
    pub(super) fn tar(&mut self, stem: &[u8]) -> Result<Compression, Problem> {
        loop {
            let name = self.next()?;
            if name.starts_with(b"_") {
                continue;
            }
            let suffix = name.strip_prefix(stem).ok_or(Problem::Order)?;
            return Compression::of_suffix(suffix).filter(|known| *known != Compression::Lz4).ok_or(Problem::Compression);
        }
    }
}

impl<R: Read> Read for Ar<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.by_ref().take(self.left).read(into)?;
        self.left -= count as u64;
        Ok(count)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
}
