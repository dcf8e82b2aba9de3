//! A file of any bytes: the four-byte filter, the head and the whole never contradict each other.
#![no_main]

use std::io::Cursor;

use doorward_formats::{FIRST_BYTES, Format, Guess, HEAD_BYTES, Kind, may_be_candidate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let whole = |format: Format| format.confirm(&mut Cursor::new(content)).expect("memory can be read");
    let guess = Kind::of_head(&content[..content.len().min(HEAD_BYTES)]);
    if guess != Guess::Not {
        assert!(may_be_candidate(&content[..content.len().min(FIRST_BYTES)]));
    }
    match guess {
        Guess::Certain(kind @ (Kind::Elf(_) | Kind::KernelModule)) => assert_eq!(whole(Format::Elf), Some(kind)),
        Guess::Certain(kind @ Kind::Pe { .. }) => assert_eq!(whole(Format::Pe), Some(kind)),
        Guess::Certain(kind @ Kind::Jar) => assert_eq!(whole(Format::Zip), Some(kind)),
        Guess::Certain(Kind::Script(_)) => assert_eq!(whole(Format::Zip), None),
        Guess::Certain(Kind::PythonBytecode) | Guess::Not => {
            whole(Format::Zip);
        }
        Guess::NeedsMore(format) => {
            assert!(content.len() >= HEAD_BYTES);
            whole(format);
        }
    }
});
