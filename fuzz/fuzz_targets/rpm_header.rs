//! A header of any bytes: paths that come out stay below the root, and what is sealed lies in the header.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod package;

fuzz_target!(|blob: &[u8]| package::look_at(blob));
