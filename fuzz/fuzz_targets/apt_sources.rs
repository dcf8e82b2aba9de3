//! Sources of both forms and what apt tells hooks, of any bytes.
#![no_main]

use doorward_formats::apt::{Sources, archives_to_install, release_file_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for found in [Sources::of_lines(bytes), Sources::of_stanzas(bytes)] {
        for source in found.sources {
            // Becomes the name of a file in one folder.
            assert!(!release_file_name(&source.uri, &source.suite).contains(['/', '\0', '\n']));
        }
    }
    for path in archives_to_install(bytes).into_iter().flatten() {
        assert!(path.starts_with(b"/"));
    }
});
