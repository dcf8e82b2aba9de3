//! A zip archive as a signature wants it: it begins with the file and ends with it, its directory and its entries say the same, no
//! name comes twice, and no byte belongs to nothing. What other readers would make of anything else is nobody's business here.

use std::collections::HashSet;
use std::io::{self, Read};

use flate2::read::DeflateDecoder;

use crate::signature::fault::{Fault, Part};
use crate::source::{Source, Stop};

/// Bytes of the central directory.
const DIRECTORY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The end record without its comment.
const END_BYTES: usize = 22;
/// The locator of a zip64 end record, which stands right before the end record.
const LOCATOR_BYTES: usize = 20;

/// A comment's greatest length.
const COMMENT_BYTES_MAX: u64 = 65_535;

/// Directory entry and local header without name and extra field.
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: u64 = 30;

/// A data descriptor with signature and zip64 sizes: the most that may stand between two entries.
const DESCRIPTOR_BYTES_MAX: u64 = 24;

const MALFORMED: Fault = Fault::Malformed(Part::Archive);

/// Flags: encrypted; sizes behind the data; strongly encrypted; masked.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const SIZES_BEHIND: u16 = 1 << 3;

/// One entry, after its local header agreed with the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    is_deflated: bool,
    data_at: u64,
    packed: u64,
    /// Bytes when inflated, as it claims.
    pub(super) size: u64,
}

#[derive(Debug)]
pub(super) struct Archive {
    pub(super) entries: Vec<Entry>,
}

impl Archive {
    pub(super) fn read(source: &mut impl Source) -> Result<Self, Fault> {
        let end = End::find(source)?;
        let mut directory = vec![0; end.directory_bytes as usize];
        if source.read_at(end.directory_at, &mut directory)? < directory.len() {
            return Err(Fault::Unread);
        }
        let mut names = HashSet::new();
        let mut entries = Vec::new();
        let mut rest = directory.as_slice();
        for _ in 0..end.entries {
            let listed = Listed::read(&mut rest)?;
            if !names.insert(listed.name.to_vec()) {
                return Err(Fault::Ambiguous(Part::Archive));
            }
            entries.push((listed.local_at, listed.entry(source)?));
        }
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        entries.sort_by_key(|(at, _)| *at);
        let mut expected = 0;
        for (at, entry) in &entries {
            // SECURITY: readers that stream find entries one behind the other: nothing fits between two.
            if *at < expected || *at > expected + DESCRIPTOR_BYTES_MAX || expected == 0 && *at > 0 {
                return Err(Fault::Ambiguous(Part::Archive));
            }
            expected = entry.data_at + entry.packed;
        }
        if end.directory_at < expected || end.directory_at > expected + DESCRIPTOR_BYTES_MAX {
            return Err(Fault::Ambiguous(Part::Archive));
        }
        Ok(Self { entries: entries.into_iter().map(|(_, entry)| entry).collect() })
    }
}

/// The end record.
struct End {
    entries: u16,
    directory_at: u64,
    directory_bytes: u64,
}

impl End {
    /// The last one in the file, which must end with it.
    fn find(source: &mut impl Source) -> Result<Self, Fault> {
        let size = source.size()?;
        let tail_bytes = size.min(COMMENT_BYTES_MAX + (LOCATOR_BYTES + END_BYTES) as u64);
        let tail_at = size - tail_bytes;
        let mut tail = vec![0; tail_bytes as usize];
        if source.read_at(tail_at, &mut tail)? < tail.len() {
            return Err(Fault::Unread);
        }
        let at = tail.windows(4).rposition(|window| window == b"PK\x05\x06").ok_or(MALFORMED)?;
        let record = tail.get(at..at + END_BYTES).ok_or(MALFORMED)?;
        if at + END_BYTES + usize::from(u16_at(record, 20)) != tail.len() {
            return Err(Fault::Ambiguous(Part::Archive));
        }
        let (entries, directory_bytes) = (u16_at(record, 10), u64::from(u32_at(record, 12)));
        let directory_at = u64::from(u32_at(record, 16));
        if entries == u16::MAX || directory_at == u64::from(u32::MAX) {
            return Err(Fault::Unsupported(Part::Archive));
        }
        // SECURITY: whoever knows zip64 looks right before this record for a locator and follows it to another directory, which no
        // signature speaks of, whatever this record says; the JDK does.
        if at.checked_sub(LOCATOR_BYTES).and_then(|at| tail.get(at..)).is_some_and(|before| before.starts_with(b"PK\x06\x07")) {
            return Err(Fault::Ambiguous(Part::Archive));
        }
        if record[4..8] != [0; 4] || u16_at(record, 8) != entries || directory_at + directory_bytes != tail_at + at as u64 {
            return Err(MALFORMED);
        }
        if directory_bytes > DIRECTORY_BYTES_MAX {
            return Err(Fault::TooLarge(Part::Archive));
        }
        Ok(Self { entries, directory_at, directory_bytes })
    }
}

/// An entry as the directory lists it.
struct Listed<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    packed: u64,
    size: u64,
    local_at: u64,
}

impl<'a> Listed<'a> {
    fn read(rest: &mut &'a [u8]) -> Result<Self, Fault> {
        let (fixed, after) = rest.split_at_checked(ENTRY_BYTES).ok_or(MALFORMED)?;
        if !fixed.starts_with(b"PK\x01\x02") || u16_at(fixed, 34) != 0 {
            return Err(MALFORMED);
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(fixed, at)));
        let (name, after) = after.split_at_checked(name).ok_or(MALFORMED)?;
        *rest = after.get(extra + comment..).ok_or(MALFORMED)?;
        let [packed, size, local_at] = [20, 24, 42].map(|at| u64::from(u32_at(fixed, at)));
        if [packed, size, local_at].contains(&u64::from(u32::MAX)) {
            return Err(Fault::Unsupported(Part::Archive));
        }
        Ok(Self { name, flags: u16_at(fixed, 8), method: u16_at(fixed, 10), packed, size, local_at })
    }

    /// Compares it with the local header, which other readers go by.
    fn entry(&self, source: &mut impl Source) -> Result<Entry, Fault> {
        let local = source.array::<{ LOCAL_BYTES as usize }>(self.local_at)?.ok_or(MALFORMED)?;
        if !local.starts_with(b"PK\x03\x04") {
            return Err(MALFORMED);
        }
        let name_bytes = usize::from(u16_at(&local, 26));
        let mut name = vec![0; name_bytes];
        let is_whole = source.read_at(self.local_at + LOCAL_BYTES, &mut name)? == name_bytes;
        let are_sizes_same = [u32_at(&local, 18), u32_at(&local, 22)].map(u64::from) == [self.packed, self.size];
        let are_sizes_behind = self.flags & SIZES_BEHIND != 0 && local[18..26] == [0; 8];
        if !is_whole
            || name != self.name
            || [u16_at(&local, 6), u16_at(&local, 8)] != [self.flags, self.method]
            || !(are_sizes_same || are_sizes_behind)
        {
            return Err(Fault::Ambiguous(Part::Archive));
        }
        let is_deflated = match self.method {
            0 if self.packed == self.size => false,
            8 => true,
            _ => return Err(Fault::Unsupported(Part::Archive)),
        };
        if self.flags & ENCRYPTED != 0 {
            return Err(Fault::Unsupported(Part::Archive));
        }
        let data_at = self.local_at + LOCAL_BYTES + name_bytes as u64 + u64::from(u16_at(&local, 28));
        let entry = Entry { name, is_deflated, data_at, packed: self.packed, size: self.size };
        // A folder with content would be a file to some.
        if entry.is_folder() && entry.size > 0 { Err(Fault::Ambiguous(Part::Archive)) } else { Ok(entry) }
    }
}

impl Entry {
    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with(b"/")
    }

    /// Its content, inflated as it is read.
    pub(super) fn open<'a, S: Source>(&self, source: &'a mut S) -> Box<dyn Read + 'a> {
        let data = Section { source, at: self.data_at, end: self.data_at + self.packed };
        if self.is_deflated { Box::new(DeflateDecoder::new(data)) } else { Box::new(data) }
    }
}

/// A part of a source, to be read from its beginning to its end.
struct Section<'a, S> {
    source: &'a mut S,
    at: u64,
    end: u64,
}

impl<S: Source> Read for Section<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(into.len());
        let count = match self.source.read_at(self.at, &mut into[..left]) {
            Ok(count) => count,
            Err(Stop::Io(error)) => return Err(error),
            Err(Stop::BeyondHead) => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// What ended reading an entry: its own bytes, or the file that could not be read.
pub(super) fn fault(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => MALFORMED,
        _ => Fault::Unread,
    }
}

fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from(u16_at(record, at)) | u32::from(u16_at(record, at + 2)) << 16
}
