//! A signed text of any bytes, and what is inside it as a Release file.
#![no_main]

use doorward_formats::apt::Release;
use doorward_formats::openpgp::split_cleartext;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((text, signature)) = split_cleartext(bytes) {
        assert!(text.len() <= 2 * bytes.len() && signature.len() <= bytes.len());
        let _ = Release::read(&text);
    }
    if let Ok(release) = Release::read(bytes) {
        assert!(release.package_indexes().count() <= release.indexes.len());
    }
});
