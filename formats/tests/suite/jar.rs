//! Java archives: found wherever Java would find them, told from the many other zips, never from a script or program.

use std::io::Cursor;

use doorward_formats::{Format, Kind, named_like_jar};

use crate::sample::{ElfSample, ZipSample, word};

/// Asked as for a file named `.jar`, whatever its first bytes.
fn is_jar(content: &[u8]) -> bool {
    Format::Zip.confirm(&mut Cursor::new(content)).expect("memory can be read") == Some(Kind::Jar)
}

#[test]
fn a_manifest_or_a_class_makes_a_jar() {
    for members in [&["META-INF/MANIFEST.MF"][..], &["meta-inf/manifest.mf"], &["a.txt", "org/example/Main.class"], &["A.class", "b"]] {
        assert_eq!(word(&ZipSample::of(members).bytes()), "jar", "{members:?}");
    }
    for members in [&[][..], &["word/document.xml"], &["META-INF/", "META-INF/MANIFEST.MF.txt"], &["class", ".clas", "A.CLASS"]] {
        assert_eq!(word(&ZipSample::of(members).bytes()), "-", "{members:?}");
    }
}

#[test]
fn comments_and_zip64_and_bytes_before_hide_nothing() {
    let plain = ZipSample::of(&["a.txt", "Main.class"]);
    for comment in [1, 21, 22, 5000, 65_535] {
        let commented = ZipSample { comment: vec![b'c'; comment], ..plain.clone() };
        assert_eq!(word(&commented.bytes()), "jar", "comment of {comment} bytes");
    }
    assert_eq!(word(&ZipSample { zip64: true, ..plain.clone() }.bytes()), "jar");
    for before in [&b"just text"[..], b"MZ but no PE", &[0; 70_000]] {
        assert!(is_jar(&ZipSample { before: before.to_vec(), ..plain.clone() }.bytes()));
    }
    assert_eq!(word(&[&plain.bytes()[..], b"garbage behind"].concat()), "jar", "Java looks further than the comment length");
}

#[test]
fn a_large_archive_is_settled_by_its_end() {
    let mut members: Vec<String> = (0..3000).map(|number| format!("resource/{number}.txt")).collect();
    let names = |members: &[String]| ZipSample::of(&members.iter().map(String::as_str).collect::<Vec<_>>()).bytes();
    assert_eq!(word(&names(&members)), "-");
    members.push("Last.class".to_owned());
    assert_eq!(word(&names(&members)), "jar");
}

#[test]
fn a_second_end_record_cannot_cover_the_first() {
    let jar = ZipSample::of(&["Main.class"]).bytes();
    let decoy = ZipSample::of(&["harmless.txt"]).bytes();
    assert_eq!(word(&[jar.clone(), decoy.clone()].concat()), "jar");
    assert_eq!(word(&ZipSample { comment: jar, ..ZipSample::of(&["harmless.txt"]) }.bytes()), "jar");
    assert_eq!(word(&[decoy.clone(), decoy].concat()), "-");
}

#[test]
fn an_archive_appended_to_a_script_or_program_earns_nothing() {
    let jar = ZipSample::of(&["META-INF/MANIFEST.MF", "Main.class"]);
    let behind_script = ZipSample { before: b"#!/bin/sh\nexec java -jar $0\n".to_vec(), ..jar.clone() }.bytes();
    assert_eq!(word(&behind_script), "script");
    assert!(!is_jar(&behind_script));
    let behind_program = ZipSample { before: ElfSample::program().bytes(), ..jar.clone() }.bytes();
    assert_eq!(word(&behind_program), "elf_executable");
    assert!(!is_jar(&behind_program));
    // But what the kernel would refuse as a script, Java may still load.
    assert!(is_jar(&ZipSample { before: [b"#!".to_vec(), vec![b'x'; 300]].concat(), ..jar }.bytes()));
}

#[test]
fn archives_cut_short_are_no_jars() {
    let jar = ZipSample { comment: b"comment".to_vec(), ..ZipSample::of(&["a", "Main.class"]) }.bytes();
    for end in 0..jar.len() - b"comment".len() {
        assert_eq!(word(&jar[..end]), "-", "cut to {end} bytes");
    }
}

#[test]
fn names_suggest_jars() {
    for name in [&b"x.jar"[..], b"X.WAR", b".ear"] {
        assert!(named_like_jar(name));
    }
    for name in [&b"jar"[..], b"x.jar.gz", b"x_jar", b""] {
        assert!(!named_like_jar(name));
    }
}
