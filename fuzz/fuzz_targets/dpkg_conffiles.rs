//! A list of declared conffiles of any bytes.
#![no_main]

use doorward_formats::dpkg::Conffiles;
use libfuzzer_sys::fuzz_target;

mod path;

fuzz_target!(|text: &[u8]| {
    for conffile in Conffiles::new(text).flatten() {
        path::assert_plain(conffile.path);
    }
});
