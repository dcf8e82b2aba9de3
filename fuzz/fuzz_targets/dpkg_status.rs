//! A status file of any bytes: what becomes part of a file's name cannot leave its folder.
#![no_main]

use doorward_formats::dpkg::Status;
use libfuzzer_sys::fuzz_target;

mod path;

fuzz_target!(|text: &[u8]| {
    for package in Status::new(text).flatten() {
        assert!(!package.info_stem().contains(['/', '\0', '\n']));
        for conffile in package.conffiles().flatten() {
            path::assert_plain(conffile.path);
        }
    }
});
