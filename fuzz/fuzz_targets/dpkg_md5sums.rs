//! A digest list of any bytes.
#![no_main]

use doorward_formats::dpkg::Md5sums;
use libfuzzer_sys::fuzz_target;

mod path;

fuzz_target!(|text: &[u8]| {
    for sum in Md5sums::new(text).flatten() {
        path::assert_plain(sum.path);
    }
});
