//! A package archive of any bytes: the whole of it, and any bytes as its `data.tar` however it is packed. Paths that come out are plain.
#![no_main]

use doorward_formats::deb::inspect;
use libfuzzer_sys::fuzz_target;

mod path;

/// An archive around a `data.tar` of this name.
fn around(name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = include_bytes!("../samples/head.deb").to_vec();
    bytes.extend_from_slice(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, data)) = bytes.split_first() else { return };
    let archive = match how % 5 {
        0 => data.to_vec(),
        1 => around("data.tar", data),
        2 => around("data.tar.gz", data),
        3 => around("data.tar.xz", data),
        _ => around("data.tar.zst", data),
    };
    if let Ok(facts) = inspect(&*archive) {
        for file in &facts.files {
            path::assert_plain(file.path.as_bytes());
        }
    }
});
