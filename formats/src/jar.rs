//! Java archives: zip files whose central directory lists a manifest or a class. The directory is found the way the
//! JDK's `ZipFile` does, from the end of the file, so bytes before the archive and a comment behind it hide nothing.
//! Only names are read; nothing is inflated.

use crate::source::{Source, Stop};
use crate::{Kind, elf, script};

/// The end record without its comment.
const END_BYTES: usize = 22;

/// A comment is at most this long, so the end record lies in the last 64 KiB + 22 bytes or nowhere.
const COMMENT_BYTES_MAX: u64 = 65_535;

/// A directory entry without name, extra field and comment.
const ENTRY_BYTES: u64 = 46;

/// Directory bytes walked, some 200,000 other members.
const DIRECTORY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// End records tried; an archive has one, and one more for each archive in its comment.
const END_RECORDS_MAX: u32 = 64;

const MANIFEST: &[u8; 20] = b"META-INF/MANIFEST.MF";
const CLASS_SUFFIX: &[u8; 6] = b".class";

/// Where a central directory lies, its end not included.
#[derive(Clone, Copy)]
struct Directory {
    at: u64,
    end: u64,
}

/// Whether a file name claims a Java archive (`.jar`, `.war`, `.ear`, any case), to be asked of
/// [`Format::Zip`](crate::Format::Zip) even if its first bytes are no zip's.
#[must_use]
pub fn named_like_jar(name: &[u8]) -> bool {
    name.last_chunk::<4>().is_some_and(|suffix| [b".jar", b".war", b".ear"].iter().any(|known| suffix.eq_ignore_ascii_case(*known)))
}

/// Whether a file starts with a member, a split marker or (in an empty archive) the end record.
pub(crate) fn starts_like_zip(head: &[u8]) -> bool {
    [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"].iter().any(|magic| head.starts_with(*magic))
}

pub(crate) fn read(source: &mut impl Source) -> Result<Option<Kind>, Stop> {
    let mut head = [0; 256];
    source.read_at(0, &mut head)?;
    if head.starts_with(elf::MAGIC) || script::read(&head).is_some() {
        return Ok(None);
    }
    let mut search = Search { source, records_left: END_RECORDS_MAX, bytes_left: DIRECTORY_BYTES_MAX };
    Ok(search.archive()?.then_some(Kind::Jar))
}

/// The walk through every directory the end of a file may speak of. Readers disagree on which end record counts when
/// there are several, so a class under any of them makes a JAR; so does running out of either allowance.
struct Search<'a, S> {
    source: &'a mut S,
    records_left: u32,
    bytes_left: u64,
}

impl<S: Source> Search<'_, S> {
    fn archive(&mut self) -> Result<bool, Stop> {
        let size = self.source.size()?;
        // Nearly every archive ends without a comment: look there before reading the whole of a possible one.
        let Some(last) = size.checked_sub(END_BYTES as u64) else { return Ok(false) };
        if let Some(record) = self.source.array::<END_BYTES>(last)?
            && self.record(last, &record)?
        {
            return Ok(true);
        }
        let tail_at = last.saturating_sub(COMMENT_BYTES_MAX);
        let mut tail = vec![0; (size - 1 - tail_at) as usize];
        let present = self.source.read_at(tail_at, &mut tail)?;
        tail.truncate(present);
        for (offset, record) in tail.windows(END_BYTES).enumerate().rev() {
            if self.record(tail_at + offset as u64, record)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what stands at `end_at` is an end record with Java behind it.
    fn record(&mut self, end_at: u64, record: &[u8]) -> Result<bool, Stop> {
        if !record.starts_with(b"PK\x05\x06") {
            return Ok(false);
        }
        let Some(records_left) = self.records_left.checked_sub(1) else { return Ok(true) };
        self.records_left = records_left;
        // The directory ends where the record begins, whatever offset the record claims: that is how bytes put before
        // an archive do no harm.
        let plain = end_at.checked_sub(u64::from(u32_at(record, 12))).map(|at| Directory { at, end: end_at });
        for directory in [plain, self.zip64(end_at)?].into_iter().flatten() {
            if self.lists_java(directory)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The directory of a large archive, found through the locator (20 bytes) before the end record.
    fn zip64(&mut self, end_at: u64) -> Result<Option<Directory>, Stop> {
        let Some(locator_at) = end_at.checked_sub(20) else { return Ok(None) };
        let Some(locator) = self.source.array::<20>(locator_at)? else { return Ok(None) };
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok(None);
        }
        let end = u64_at(&locator, 8);
        let Some(record) = self.source.array::<56>(end)? else { return Ok(None) };
        if !record.starts_with(b"PK\x06\x06") {
            return Ok(None);
        }
        Ok(end.checked_sub(u64_at(&record, 40)).map(|at| Directory { at, end }))
    }

    fn lists_java(&mut self, directory: Directory) -> Result<bool, Stop> {
        let mut at = directory.at;
        while at.saturating_add(ENTRY_BYTES) <= directory.end {
            let Some(entry) = self.source.array::<{ ENTRY_BYTES as usize }>(at)? else { break };
            if !entry.starts_with(b"PK\x01\x02") {
                break;
            }
            let [name, extra, comment] = [28, 30, 32].map(|field| u64::from(u16_at(&entry, field)));
            let name_at = at + ENTRY_BYTES;
            if is_java(self.source, name_at, name)? {
                return Ok(true);
            }
            let next = name_at + name + extra + comment;
            let Some(bytes_left) = self.bytes_left.checked_sub(next - at) else { return Ok(true) };
            self.bytes_left = bytes_left;
            at = next;
        }
        Ok(false)
    }
}

/// Whether a member's name is the manifest's (Java compares it without case) or a class's.
fn is_java(source: &mut impl Source, name_at: u64, name_bytes: u64) -> Result<bool, Stop> {
    if name_bytes == MANIFEST.len() as u64
        && let Some(name) = source.array::<{ MANIFEST.len() }>(name_at)?
        && name.eq_ignore_ascii_case(MANIFEST)
    {
        return Ok(true);
    }
    let Some(before_suffix) = name_bytes.checked_sub(CLASS_SUFFIX.len() as u64) else { return Ok(false) };
    Ok(source.array(name_at + before_suffix)? == Some(*CLASS_SUFFIX))
}

fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from(u16_at(record, at)) | u32::from(u16_at(record, at + 2)) << 16
}

fn u64_at(record: &[u8], at: usize) -> u64 {
    u64::from(u32_at(record, at)) | u64::from(u32_at(record, at + 4)) << 32
}
