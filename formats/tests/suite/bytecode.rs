//! What a `.pyc` says of its source, in its header and by its name.

use doorward_formats::{BYTECODE_HEADER_BYTES, SourceStamp, bytecode_source};
use proptest::prelude::*;

fn header(number: u16, flags: u32, modified_s: u32, size: u32) -> [u8; BYTECODE_HEADER_BYTES] {
    let words = [flags, modified_s, size].map(u32::to_le_bytes).concat();
    [&number.to_le_bytes()[..], b"\r\n", &words].concat().try_into().unwrap()
}

#[test]
fn the_stamp_of_a_source_is_read_since_python_3_7() {
    let stamp = Some(SourceStamp { modified_s: 0x6543_2100, size: 77 });
    assert_eq!(SourceStamp::of_header(&header(3394, 0, 0x6543_2100, 77)), stamp);
    assert_eq!(SourceStamp::of_header(&header(3495, 0, 0x6543_2100, 77)), stamp);
    assert_eq!(SourceStamp::of_header(&header(3379, 0, 0x6543_2100, 77)), None, "3.6: another header");
    assert_eq!(SourceStamp::of_header(&header(3495, 1, 0x6543_2100, 77)), None, "a hash that Python does not compare");
    assert_eq!(SourceStamp::of_header(&header(3495, 3, 0x6543_2100, 77)), None, "a hash that Python compares");
    assert_eq!(SourceStamp::of_header(&[0; BYTECODE_HEADER_BYTES]), None);
}

#[test]
fn a_source_is_found_as_python_finds_it() {
    for (name, source) in [
        (&b"x.cpython-311.pyc"[..], Some(&b"x.py"[..])),
        (b"x.cpython-311.opt-1.pyc", Some(b"x.py")),
        (b"__init__.cpython-313.opt-2.pyc", Some(b"__init__.py")),
        (b"\xff.cpython-311.pyc", Some(b"\xff.py")),
        (b"x.pyc", None),
        (b"x.y.z.cpython-311.pyc", None),
        (b"x.cpython-311.opt-.pyc", None),
        (b"x.cpython-311.opt-1/2.pyc", None),
        (b".cpython-311.pyc", None),
        (b"x..pyc", None),
        (b"../x.cpython-311.pyc", None),
        (b"x.cpython-311.py", None),
        (b"", None),
    ] {
        assert_eq!(bytecode_source(name).as_deref(), source, "{}", name.escape_ascii());
    }
}

proptest! {
    #[test]
    fn a_source_never_leaves_its_folder(name in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Some(source) = bytecode_source(&name) {
            prop_assert!(!source.contains(&b'/') && !source.contains(&0) && source != b".." && source.ends_with(b".py"));
        }
    }
}
