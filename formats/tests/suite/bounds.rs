//! No input makes a reader read without end, and an unreadable file is an error instead of "no candidate".

use std::io::{self, Read, Seek, SeekFrom};

use doorward_formats::{Format, Kind};

use crate::sample::{ElfSample, ZipSample};

/// Most a reader may fetch to settle one file: its directory allowance, and a page or three for every end record.
const FETCHED_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A huge file with content at both ends and a pattern between, which counts what is fetched from it.
struct Huge {
    front: Vec<u8>,
    back: Vec<u8>,
    pattern: Vec<u8>,
    size: u64,
    at: u64,
    fetched: u64,
}

impl Huge {
    fn new(front: Vec<u8>, pattern: Vec<u8>, back: Vec<u8>) -> Self {
        Self { front, back, pattern, size: 1 << 40, at: 0, fetched: 0 }
    }

    fn byte(&self, at: u64) -> u8 {
        let back_at = self.size - self.back.len() as u64;
        if at < self.front.len() as u64 {
            self.front[at as usize]
        } else if at >= back_at {
            self.back[(at - back_at) as usize]
        } else {
            self.pattern[(at % self.pattern.len() as u64) as usize]
        }
    }
}

impl Read for Huge {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = into.len().min(self.size.saturating_sub(self.at) as usize);
        for slot in &mut into[..count] {
            *slot = self.byte(self.at);
            self.at += 1;
        }
        self.fetched += count as u64;
        assert!(self.fetched <= FETCHED_BYTES_MAX, "a reader goes on without end");
        Ok(count)
    }
}

impl Seek for Huge {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(offset) => self.size.saturating_add_signed(offset),
            SeekFrom::Current(offset) => self.at.saturating_add_signed(offset),
        };
        Ok(self.at)
    }
}

/// An end record for a directory of this many bytes right before it.
fn end_record(directory_bytes: u32) -> Vec<u8> {
    let mut record = ZipSample::default().bytes();
    record[12..16].copy_from_slice(&directory_bytes.to_le_bytes());
    record
}

/// A directory entry for a member without a name.
fn entry() -> Vec<u8> {
    [&b"PK\x01\x02"[..], &[0; 42]].concat()
}

#[test]
fn an_endless_directory_counts_as_jar_in_the_end() {
    let mut file = Huge::new(b"PK\x03\x04".to_vec(), entry(), end_record(46 * 50_000_000));
    // The pattern repeats from offset 0 and the directory ends where the end record begins: both at a multiple of 46.
    file.size -= (file.size - file.back.len() as u64) % 46;
    assert_eq!(Kind::of_file(&mut file).expect("readable"), Some(Kind::Jar));
}

#[test]
fn a_comment_full_of_end_records_costs_little() {
    // Each points to another place of the file, each place holds no entry.
    let records: Vec<u8> = (0..2900_u32).flat_map(|number| end_record(number * 1_000_003)).collect();
    let mut file = Huge::new(b"PK\x03\x04".to_vec(), vec![0x55; 7], records);
    assert_eq!(Kind::of_file(&mut file).expect("readable"), Some(Kind::Jar), "too many to tell");
    assert!(file.fetched < 4 * 1024 * 1024, "{} bytes", file.fetched);
}

#[test]
fn an_object_with_endless_tables_costs_little() {
    let mut object = ElfSample::object(&[".text"]).bytes();
    object[0x3c..0x3e].copy_from_slice(&u16::MAX.to_le_bytes());
    let mut file = Huge::new(object, vec![1, 2, 3, 5, 7], Vec::new());
    assert_eq!(Kind::of_file(&mut file).expect("readable"), None);

    let mut library = ElfSample { gap: 100_000, ..ElfSample::library() }.bytes();
    library[0x38..0x3a].copy_from_slice(&u16::MAX.to_le_bytes());
    let mut file = Huge::new(library, vec![0x6f, 0xff, 0xff], Vec::new());
    assert!(Kind::of_file(&mut file).expect("readable").is_some());
    assert!(file.fetched < 4 * 1024 * 1024, "{} bytes", file.fetched);
}

#[test]
fn an_object_with_oversized_names_counts_as_a_module() {
    let mut object = ElfSample::object(&[".text"]).bytes();
    let names_size_at = object.len() - 64 + 32;
    object[names_size_at..names_size_at + 8].copy_from_slice(&(1024 * 1024 + 1_u64).to_le_bytes());
    let mut file = Huge::new(object, vec![0], Vec::new());
    assert_eq!(Kind::of_file(&mut file).expect("readable"), Some(Kind::KernelModule));
}

/// A file that cannot be read behind its first page.
struct Failing(io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.position() >= 4096 { Err(io::Error::from_raw_os_error(5)) } else { self.0.by_ref().take(4096).read(into) }
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let jar = ZipSample { before: vec![0; 20_000], ..ZipSample::of(&["Main.class"]) }.bytes();
    let library = ElfSample { gap: 20_000, ..ElfSample::library() }.bytes();
    let object = ElfSample { gap: 20_000, ..ElfSample::object(&[".modinfo"]) }.bytes();
    for (format, content) in [(Format::Zip, jar), (Format::Elf, library), (Format::Elf, object)] {
        let error = format.confirm(&mut Failing(io::Cursor::new(content))).expect_err("unreadable");
        assert_eq!(error.raw_os_error(), Some(5));
    }
}
