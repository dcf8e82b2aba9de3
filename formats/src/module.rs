//! Kernel modules: relocatable ELF objects with the sections the module loader requires. Every other relocatable object
//! is an intermediate of a build, which neither kernel nor loader takes, and so no candidate.
//!
//! Compressed modules (`.ko.xz`, `.ko.zst`, `.ko.gz`) are out of this reader's reach: the kernel inflates them itself,
//! their bytes look like any archive. [`named_like_compressed_module`] lets a scanner count them as candidates by name.

use crate::Kind;
use crate::elf::{ElfClass, Header};
use crate::source::{Source, Stop};

/// Last bytes of a module that carries a signature (see [`crate::signature`]), whatever stands before.
pub(crate) const SIGNATURE_MARK: &[u8; 28] = b"~Module signature appended~\n";

/// Sections that only modules have: the loader refuses an object without them.
const MARKERS: [&[u8]; 2] = [b".gnu.linkonce.this_module", b".modinfo"];

/// Longest section name table read; modules have some kilobytes. An object with a longer one counts as a module.
const SECTION_NAMES_BYTES_MAX: u64 = 1024 * 1024;

/// Whether a file name claims a compressed module, which the kernel loads as it is.
#[must_use]
pub fn named_like_compressed_module(name: &[u8]) -> bool {
    [&b".ko.xz"[..], b".ko.zst", b".ko.gz"].iter().any(|suffix| name.ends_with(suffix))
}

pub(crate) fn read(source: &mut impl Source, header: &Header) -> Result<Option<Kind>, Stop> {
    // The class byte proves nothing (see the header's reader): a module under either reading is one.
    let is_module = has_signature_mark(source)?
        || has_marker_section(source, header, ElfClass::Bits64)?
        || has_marker_section(source, header, ElfClass::Bits32)?;
    Ok(is_module.then_some(Kind::KernelModule))
}

fn has_signature_mark(source: &mut impl Source) -> Result<bool, Stop> {
    let Some(at) = source.size()?.checked_sub(SIGNATURE_MARK.len() as u64) else { return Ok(false) };
    Ok(source.array(at)? == Some(*SIGNATURE_MARK))
}

fn has_marker_section(source: &mut impl Source, header: &Header, class: ElfClass) -> Result<bool, Stop> {
    let Some(table) = header.sections(class) else { return Ok(false) };
    let Some(names_at) = table.entry(header.section_names_index(class)) else { return Ok(false) };
    // Offset and size of a section's content within its header.
    let (offset, width) = match class {
        ElfClass::Bits32 => (16, 4),
        ElfClass::Bits64 => (24, 8),
    };
    let Some(place) = source.array::<16>(names_at.saturating_add(offset))? else { return Ok(false) };
    let names_bytes = header.order.number(&place[width..2 * width]);
    if names_bytes > SECTION_NAMES_BYTES_MAX {
        return Ok(true);
    }
    let mut names = vec![0; names_bytes as usize];
    let present = source.read_at(header.order.number(&place[..width]), &mut names)?;
    names.truncate(present);

    for index in 0..table.count {
        let Some(entry) = table.entry(index) else { break };
        let Some(name_at) = source.array::<4>(entry)? else { break };
        let name = names.get(header.order.number(&name_at) as usize..).unwrap_or_default();
        if MARKERS.iter().any(|marker| name.strip_prefix(*marker).is_some_and(|rest| rest.first() == Some(&0))) {
            return Ok(true);
        }
    }
    Ok(false)
}
