//! An index of packages of any bytes, packed in any way: as many archives at most as there are stanzas, and an end.
#![no_main]

use std::io::BufReader;

use doorward_formats::apt::Packages;
use doorward_formats::compression::Compression;
use libfuzzer_sys::fuzz_target;

const UNPACKED_BYTES_MAX: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, packed)) = bytes.split_first() else { return };
    let (compression, _) = Compression::ALL[usize::from(*how) % Compression::ALL.len()];
    let Ok(text) = compression.unpack(packed, UNPACKED_BYTES_MAX) else { return };
    let mut packages = Packages::new(BufReader::new(text));
    while let Ok(Some(entry)) = packages.next_entry() {
        assert!(!entry.package.is_empty() && !entry.package.contains('\n'));
    }
});
