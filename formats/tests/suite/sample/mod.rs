//! Builders of well-formed files with every knob the readers look at.

pub(crate) mod deb;
mod elf;
pub(crate) mod gpg;
mod header;
mod pe;
mod zip;

pub(crate) use elf::ElfSample;
pub(crate) use header::{HeaderSample, Value};
pub(crate) use pe::pe;
pub(crate) use zip::ZipSample;

use std::io::Cursor;

use doorward_formats::{Guess, HEAD_BYTES, Kind};

/// The kind of a file with this content, taken the two-step way a scanner takes; the one-step way must agree.
pub(crate) fn kind(content: &[u8]) -> Option<Kind> {
    let head = &content[..content.len().min(HEAD_BYTES)];
    let kind = match Kind::of_head(head) {
        Guess::Not => None,
        Guess::Certain(kind) => Some(kind),
        Guess::NeedsMore(format) => format.confirm(&mut Cursor::new(content)).expect("memory can be read"),
    };
    assert_eq!(kind, Kind::of_file(&mut Cursor::new(content)).expect("memory can be read"));
    kind
}

/// The kind's word, `-` for no candidate.
pub(crate) fn word(content: &[u8]) -> &'static str {
    kind(content).map_or("-", |kind| kind.word())
}
