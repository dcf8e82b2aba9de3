//! What a program or library has the dynamic loader load: names of libraries, and folders of its own to look for them in.

use std::io::{self, Read, Seek};

use super::{DT_NULL, DYNAMIC_ENTRIES_MAX, ElfClass, Header, Segment, each_segment, segment};
use crate::source::{Paged, Source, Stop};

/// Libraries of one file looked at; real ones have at most some sixty.
const LIBRARIES_MAX: usize = 256;
/// Longest name of a library, or list of folders.
const TEXT_BYTES_MAX: usize = 4096;
/// Bytes of a text fetched at a time.
const TEXT_STEP_BYTES: usize = 64;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// As the file names them; nothing is looked for here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// `DT_NEEDED`, in order.
    pub libraries: Vec<Vec<u8>>,
    /// `DT_RUNPATH` and `DT_RPATH`, taken apart; `$ORIGIN` stands in them as it is.
    pub folders: Vec<Vec<u8>>,
}

impl Needs {
    /// Nothing for what is no ELF file, has no dynamic section, or is broken there.
    ///
    /// # Errors
    /// The file's own error when it cannot be read or sought.
    pub fn of_file(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        match read(&mut Paged::new(file)) {
            Ok(needs) => Ok(needs),
            Err(Stop::Io(error)) => Err(error),
            // A file read as a whole has no end of its head.
            Err(Stop::BeyondHead) => Ok(Self::default()),
        }
    }
}

fn read(source: &mut impl Source) -> Result<Needs, Stop> {
    let Some(header) = Header::read(source)? else { return Ok(Needs::default()) };
    let Some(dynamic) = segment(source, &header, PT_DYNAMIC)? else { return Ok(Needs::default()) };
    let width: usize = match header.class() {
        ElfClass::Bits32 => 4,
        ElfClass::Bits64 => 8,
    };
    let (mut libraries, mut folders, mut texts) = (Vec::new(), Vec::new(), None);
    for index in 0..(dynamic.bytes / (2 * width as u64)).min(DYNAMIC_ENTRIES_MAX) {
        let mut bytes = [0; 16];
        let entry = &mut bytes[..2 * width];
        let Some(at) = dynamic.at.checked_add(index * 2 * width as u64) else { break };
        if source.read_at(at, entry)? < entry.len() {
            break;
        }
        let value = header.order.number(&entry[width..]);
        match header.order.number(&entry[..width]) {
            DT_NULL => break,
            DT_NEEDED if libraries.len() < LIBRARIES_MAX => libraries.push(value),
            DT_RPATH | DT_RUNPATH if folders.len() < LIBRARIES_MAX => folders.push(value),
            DT_STRTAB => texts = Some(value),
            _ => {}
        }
    }
    let Some(texts) = texts else { return Ok(Needs::default()) };
    let Some(texts) = place(source, &header, texts)? else { return Ok(Needs::default()) };
    let mut needs = Needs::default();
    for at in libraries {
        needs.libraries.extend(text(source, texts, at)?.filter(|name| !name.is_empty()));
    }
    for at in folders {
        let list = text(source, texts, at)?.unwrap_or_default();
        needs.folders.extend(list.split(|byte| *byte == b':').filter(|folder| !folder.is_empty()).map(<[u8]>::to_vec));
    }
    needs.folders.truncate(LIBRARIES_MAX);
    Ok(needs)
}

/// Where in the file lies what is loaded at this address.
fn place(source: &mut impl Source, header: &Header, address: u64) -> Result<Option<u64>, Stop> {
    let mut place = None;
    each_segment(source, header, |kind, Segment { at, bytes }, loaded_at| {
        let inside = address.checked_sub(loaded_at).filter(|inside| kind == PT_LOAD && *inside < bytes);
        place = inside.and_then(|inside| at.checked_add(inside));
        place.is_none()
    })?;
    Ok(place)
}

/// The text at this offset of the table, without its NUL; `None` when it has none in time.
fn text(source: &mut impl Source, table: u64, offset: u64) -> Result<Option<Vec<u8>>, Stop> {
    let mut text = Vec::new();
    while text.len() < TEXT_BYTES_MAX {
        let Some(at) = table.checked_add(offset).and_then(|at| at.checked_add(text.len() as u64)) else { return Ok(None) };
        let mut step = [0; TEXT_STEP_BYTES];
        let count = source.read_at(at, &mut step)?;
        if count == 0 {
            return Ok(None);
        }
        if let Some(end) = step[..count].iter().position(|byte| *byte == 0) {
            text.extend_from_slice(&step[..end]);
            return Ok(Some(text));
        }
        text.extend_from_slice(&step[..count]);
    }
    Ok(None)
}
