//! An ELF file of any bytes behind its magic: what the head says for certain, the whole file says too.
#![no_main]

use std::io::Cursor;

use doorward_formats::{Format, Guess, HEAD_BYTES, Kind};
use libfuzzer_sys::fuzz_target;

/// The kernel's `PATH_MAX`.
const INTERPRETER_BYTES_MAX: usize = 4096;

fuzz_target!(|rest: &[u8]| {
    let content = [b"\x7fELF", rest].concat();
    let whole = Format::Elf.confirm(&mut Cursor::new(&content)).expect("memory can be read");
    match Kind::of_head(&content[..content.len().min(HEAD_BYTES)]) {
        Guess::Certain(kind) => assert_eq!(whole.as_ref(), Some(&kind)),
        Guess::Not => assert_eq!(whole, None),
        Guess::NeedsMore(format) => assert!(matches!(format, Format::Elf) && content.len() >= HEAD_BYTES),
    }
    if let Some(Kind::Elf(elf)) = whole {
        let path = elf.interpreter.unwrap_or_default();
        assert!(path.len() < INTERPRETER_BYTES_MAX && !path.contains(&0));
    }
});
