//! A file list of any bytes.
#![no_main]

use doorward_formats::dpkg::List;
use libfuzzer_sys::fuzz_target;

mod path;

fuzz_target!(|text: &[u8]| {
    for found in List::new(text).flatten() {
        path::assert_plain(found);
    }
});
