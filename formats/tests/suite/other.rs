//! Windows images, Python bytecode, the four-byte filter, and everything that is no candidate at all.

use doorward_formats::{Guess, HEAD_BYTES, Kind, may_be_candidate, named_like_compressed_module};

use crate::sample::{ElfSample, ZipSample, kind, pe, word};

#[test]
fn a_windows_image_is_known_by_its_second_signature() {
    for signature_at in [64, 0x80, 4000, 9000, 70_000] {
        assert_eq!(kind(&pe(signature_at, 0x0022)), Some(Kind::Pe { dll: false }), "{signature_at}");
        assert_eq!(kind(&pe(signature_at, 0x2022)), Some(Kind::Pe { dll: true }), "{signature_at}");
    }
    let mut dos = pe(128, 0);
    dos[128] = b'N';
    assert_eq!(kind(&dos), None);
    let mut elsewhere = pe(128, 0);
    elsewhere[0x3c..0x40].fill(0xff);
    assert_eq!(kind(&elsewhere), None);
    assert_eq!(kind(&[&b"MZ"[..], &[0; 100]].concat()), None);
}

#[test]
fn compiled_python_is_known_by_its_magic_number() {
    for (number, python) in [
        (20_121_u16, "1.5"),
        (62_211, "2.7"),
        (3000, "3.0"),
        (3413, "3.8"),
        (3495, "3.11"),
        (3627, "3.14"),
        (62_218, "PyPy 2"),
        (336, "PyPy 3.9"),
    ] {
        let bytecode = [&number.to_le_bytes()[..], b"\r\n", &[0; 12]].concat();
        assert_eq!(word(&bytecode), "python_bytecode", "Python {python}");
    }
    for text in [&b"ab\r\ncd"[..], b"OK\r\n", b"\xa7\x0d\x0d", b"\xa7\x0d\n\r", b"\x51\x01\r\n", b"\xff\xff\r\n"] {
        assert_eq!(word(text), "-", "{}", text.escape_ascii());
    }
}

#[test]
fn what_nothing_executes_or_loads_is_refused_by_four_bytes() {
    for (content, what) in [
        (&b""[..], "empty"),
        (b"#", "one byte"),
        (b"plain text, marked executable or not\n", "text"),
        (b"!<arch>\ndebian-binary   ", "static archive or package"),
        (b"\x89PNG\r\n\x1a\n", "picture"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"PK\x01\x02", "headless zip"),
        (b"\x7fELG", "not quite ELF"),
        (b"%PDF-1.7", "document"),
        (b"SQLite format 3\0", "database"),
        (&[0; 5000], "sparse"),
    ] {
        assert!(!may_be_candidate(&content[..content.len().min(4)]), "{what}");
        assert_eq!(word(content), "-", "{what}");
    }
}

#[test]
fn the_filter_passes_every_candidate() {
    let bytecode = b"\xa7\x0d\r\n\0\0\0\0".to_vec();
    for content in [
        ElfSample::program().bytes(),
        ElfSample::object(&[".modinfo"]).bytes(),
        b"#!a".to_vec(),
        pe(128, 0),
        ZipSample::of(&["A.class"]).bytes(),
        bytecode,
    ] {
        assert_ne!(word(&content), "-");
        assert!(may_be_candidate(&content[..content.len().min(4)]));
    }
}

#[test]
fn an_answer_from_a_full_head_holds_however_the_file_goes_on() {
    let mut head = b"#!/bin/sh\n".to_vec();
    head.resize(HEAD_BYTES, b'\n');
    assert!(matches!(Kind::of_head(&head), Guess::Certain(Kind::Script(_))));
    head.extend(ZipSample::of(&["Main.class"]).bytes());
    assert_eq!(word(&head), "script");
}

#[test]
fn compressed_modules_are_told_by_name() {
    for name in [&b"xfs.ko.xz"[..], b"xfs.ko.zst", b"xfs.ko.gz"] {
        assert!(named_like_compressed_module(name));
    }
    for name in [&b"xfs.ko"[..], b"ko.xz", b"xfs.ko.xz.bak", b""] {
        assert!(!named_like_compressed_module(name));
    }
}
