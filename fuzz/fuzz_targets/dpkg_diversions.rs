//! A diversion list of any bytes.
#![no_main]

use doorward_formats::dpkg::Diversions;
use libfuzzer_sys::fuzz_target;

mod path;

fuzz_target!(|text: &[u8]| {
    for diversion in Diversions::new(text).flatten() {
        path::assert_plain(diversion.from);
        path::assert_plain(diversion.to);
    }
});
