//! A header and a name of any bytes: a source is named beside the folder or not at all.
#![no_main]

use doorward_formats::{BYTECODE_HEADER_BYTES, Kind, SourceStamp, bytecode_source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = bytes.first_chunk::<BYTECODE_HEADER_BYTES>()
        && SourceStamp::of_header(header).is_some()
    {
        let kind = Kind::of_file(&mut std::io::Cursor::new(bytes)).expect("memory can be read");
        assert_eq!(kind, Some(Kind::PythonBytecode));
    }
    if let Some(source) = bytecode_source(bytes) {
        assert!(source.ends_with(b".py") && source.len() > 3 && source.len() < bytes.len());
        assert!(!source.contains(&b'/') && !source.contains(&0));
    }
});
