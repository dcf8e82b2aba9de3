//! ELF programs and shared objects. Anything with the magic and one of the two types is a candidate, however broken the
//! rest: what the kernel refuses cannot be missed by counting it. Relocatable objects are handed to [`module`]; core
//! dumps are nothing.

mod header;
mod needs;

pub use needs::Needs;

pub(crate) use header::{Header, ObjectType, Table};

use crate::source::{Source, Stop};
use crate::{Kind, module};

/// What the kernel and the dynamic loader look for first.
pub(crate) const MAGIC: &[u8] = b"\x7fELF";

/// Longest `PT_INTERP` the kernel takes, its NUL included (`PATH_MAX`).
const INTERPRETER_BYTES_MAX: u64 = 4096;

/// The kernel takes at most 64 KiB of program headers, which is this many of the smaller kind.
const SEGMENTS_MAX: u64 = 2048;

/// Entries of the dynamic section looked at; real ones have some thirty.
const DYNAMIC_ENTRIES_MAX: u64 = 512;

const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NULL: u64 = 0;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;

/// A file the kernel would execute or a dynamic loader would map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Width of the file's own tables, which is that of its code but for a few odd processors.
    pub class: ElfClass,
    /// `e_machine` of the header: 62 is x86-64, 183 is AArch64.
    pub machine: u16,
    /// Program or library.
    pub role: ElfRole,
    /// Path of the dynamic loader the kernel starts first, without its NUL; `None` in libraries and in static programs.
    pub interpreter: Option<Vec<u8>>,
}

/// Width of addresses and offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElfClass {
    /// `ELFCLASS32`.
    Bits32,
    /// `ELFCLASS64`.
    Bits64,
}

/// How a file means to be used; nothing stops a library from being executed or a program from being loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElfRole {
    /// Fixed-address programs, whatever names a loader (the C library among them), and static programs marked as
    /// position-independent.
    Executable,
    /// Any other shared object; the dynamic loader itself is one.
    Library,
}

/// A segment's place in the file.
struct Segment {
    at: u64,
    bytes: u64,
}

pub(crate) fn read(source: &mut impl Source) -> Result<Option<Kind>, Stop> {
    let Some(header) = Header::read(source)? else { return Ok(None) };
    let fixed = match header.object_type {
        ObjectType::Core => return Ok(None),
        ObjectType::Relocatable => return module::read(source, &header),
        ObjectType::Executable => true,
        ObjectType::Dynamic => false,
    };
    let loader = segment(source, &header, PT_INTERP)?;
    let is_program = fixed || loader.is_some() || is_marked_as_program(source, &header)?;
    Ok(Some(Kind::Elf(Elf {
        class: header.class(),
        machine: header.machine(),
        role: if is_program { ElfRole::Executable } else { ElfRole::Library },
        interpreter: match loader {
            Some(segment) => interpreter(source, &segment)?,
            None => None,
        },
    })))
}

/// The first segment of a type, as the kernel takes the first.
fn segment(source: &mut impl Source, header: &Header, wanted: u64) -> Result<Option<Segment>, Stop> {
    let mut found = None;
    each_segment(source, header, |kind, segment, _| {
        found = (kind == wanted).then_some(segment);
        found.is_none()
    })?;
    Ok(found)
}

/// Shows type, place and address of every segment, for as long as `visit` wants more.
fn each_segment(source: &mut impl Source, header: &Header, mut visit: impl FnMut(u64, Segment, u64) -> bool) -> Result<(), Stop> {
    let class = header.class();
    let Some(table) = header.segments(class) else { return Ok(()) };
    for index in 0..table.count.min(SEGMENTS_MAX) {
        let Some(at) = table.entry(index) else { break };
        let mut bytes = [0; 56];
        let entry = &mut bytes[..table.entry_bytes as usize];
        if source.read_at(at, entry)? < entry.len() {
            break;
        }
        let number = |from: usize, width: usize| header.order.number(&entry[from..from + width]);
        let (segment, address) = match class {
            ElfClass::Bits32 => (Segment { at: number(4, 4), bytes: number(16, 4) }, number(8, 4)),
            ElfClass::Bits64 => (Segment { at: number(8, 8), bytes: number(32, 8) }, number(16, 8)),
        };
        if !visit(number(0, 4), segment, address) {
            break;
        }
    }
    Ok(())
}

/// The loader's path, `None` where the kernel would refuse it: empty, too long, cut short, or not ending in NUL.
fn interpreter(source: &mut impl Source, segment: &Segment) -> Result<Option<Vec<u8>>, Stop> {
    if !(2..=INTERPRETER_BYTES_MAX).contains(&segment.bytes) {
        return Ok(None);
    }
    let mut path = vec![0; segment.bytes as usize];
    if source.read_at(segment.at, &mut path)? < path.len() || path.last() != Some(&0) {
        return Ok(None);
    }
    path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or_default());
    Ok(Some(path))
}

/// Whether the dynamic section says `DF_1_PIE`: how static position-independent programs differ from libraries.
fn is_marked_as_program(source: &mut impl Source, header: &Header) -> Result<bool, Stop> {
    let Some(dynamic) = segment(source, header, PT_DYNAMIC)? else { return Ok(false) };
    let width: usize = match header.class() {
        ElfClass::Bits32 => 4,
        ElfClass::Bits64 => 8,
    };
    let entries = Table { at: dynamic.at, entry_bytes: 2 * width as u64, count: dynamic.bytes / (2 * width as u64) };
    for index in 0..entries.count.min(DYNAMIC_ENTRIES_MAX) {
        let Some(at) = entries.entry(index) else { break };
        let mut bytes = [0; 16];
        let entry = &mut bytes[..2 * width];
        if source.read_at(at, entry)? < entry.len() {
            break;
        }
        match header.order.number(&entry[..width]) {
            DT_NULL => break,
            DT_FLAGS_1 => return Ok(header.order.number(&entry[width..]) & DF_1_PIE != 0),
            _ => {}
        }
    }
    Ok(false)
}
