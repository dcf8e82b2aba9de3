//! Package archives: real ones by dpkg-deb, and ones that no honest tool makes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use doorward_formats::deb::{ArchiveFacts, Problem, inspect};
use doorward_policy::Sha256;
use proptest::prelude::*;
use sha2::Digest as _;

use crate::sample::deb::{CONTROL, ar, deb, entry, file, tar};

const TOOL: &[u8] = b"#!/bin/sh\necho tool\n";

fn sha256(content: &[u8]) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(content).into())
}

fn paths(facts: &ArchiveFacts) -> Vec<(String, Sha256)> {
    facts.files.iter().map(|file| (file.path.to_string(), file.sha256)).collect()
}

fn data(entries: &[Vec<u8>]) -> Result<ArchiveFacts, Problem> {
    inspect(&*deb(&tar(entries)))
}

#[test]
fn what_dpkg_deb_builds_is_read_whatever_it_is_packed_with() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: dpkg-deb is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    let deep = "d".repeat(90);
    for path in ["DEBIAN", "usr/bin", "etc/init.d", "usr/share/doc", &format!("usr/lib/{deep}/{deep}")] {
        fs::create_dir_all(tree.join(path)).unwrap();
    }
    fs::write(tree.join("DEBIAN/control"), CONTROL).unwrap();
    fs::write(tree.join("DEBIAN/postinst"), b"#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(tree.join("DEBIAN/postinst"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(tree.join("usr/bin/tool"), TOOL).unwrap();
    fs::hard_link(tree.join("usr/bin/tool"), tree.join("usr/bin/same")).unwrap();
    fs::write(tree.join("etc/init.d/tool"), TOOL).unwrap();
    fs::write(tree.join("usr/share/doc/readme"), "text").unwrap();
    fs::write(tree.join(format!("usr/lib/{deep}/{deep}/long")), TOOL).unwrap();
    std::os::unix::fs::symlink("tool", tree.join("usr/bin/link")).unwrap();
    for packing in ["none", "gzip", "xz", "zstd"] {
        let archive = folder.path().join(format!("{packing}.deb"));
        let built = Command::new("dpkg-deb").args(["--root-owner-group", "-Z", packing, "-b"]).arg(&tree).arg(&archive).output().unwrap();
        if !built.status.success() {
            eprintln!("SKIPPED: this dpkg-deb does not pack with {packing}");
            continue;
        }
        let facts = inspect(fs::File::open(archive).unwrap()).unwrap();
        assert_eq!((facts.package.as_str(), facts.version.as_str(), facts.architecture.as_str()), ("tool", "1.0-1", "amd64"));
        assert_eq!(facts.scripts.iter().map(|script| script.name.as_str()).collect::<Vec<_>>(), ["postinst"]);
        let mut found = paths(&facts);
        found.sort();
        let long = format!("usr/lib/{deep}/{deep}/long");
        let expected = ["etc/init.d/tool", "usr/bin/same", "usr/bin/tool", &long].map(|path| (path.to_owned(), sha256(TOOL)));
        assert_eq!(found, expected, "{packing}");
        assert_eq!(facts.other_files, 1);
    }
}

#[test]
fn names_are_taken_as_dpkg_takes_them_and_those_outside_the_root_refuse_the_archive() {
    let facts = data(&[file("./usr/bin/one", TOOL), file("/usr/bin/two", TOOL), file("usr/bin/three", TOOL)]).unwrap();
    assert_eq!(paths(&facts).iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["usr/bin/one", "usr/bin/two", "usr/bin/three"]);
    for name in ["../etc/passwd", "./usr/../../x", "usr//bin/x", "./", "usr/./x"] {
        let outcome = data(&[file(name, TOOL)]);
        assert!(matches!(outcome, Err(Problem::Path | Problem::Tar(_))), "{name}: {outcome:?}");
    }
    assert!(matches!(data(&[entry(b"usr/bin/x", b'1', 0, b"../../etc/shadow", b"")]), Err(Problem::Path)));
}

#[test]
fn a_file_twice_is_refused_and_a_folder_twice_is_not() {
    assert!(matches!(data(&[file("./usr/bin/x", TOOL), file("usr/bin/x", b"#!/bin/evil\n")]), Err(Problem::Duplicate)));
    assert!(matches!(data(&[file("./usr/bin/x", TOOL), entry(b"usr/bin/x", b'2', 0, b"y", b"")]), Err(Problem::Duplicate)));
    let folder = || entry(b"./usr/", b'5', 0, b"", b"");
    assert!(data(&[folder(), file("./usr/x", TOOL), folder()]).is_ok());
}

#[test]
fn what_dpkg_refuses_is_refused() {
    let pax = b"30 path=usr/bin/somewhere-else\n";
    assert!(matches!(data(&[entry(b"x", b'x', pax.len() as u64, b"", pax), file("usr/bin/x", TOOL)]), Err(Problem::Tar(_))));
    assert!(matches!(data(&[entry(b"usr/bin/x", b'S', TOOL.len() as u64, b"", TOOL)]), Err(Problem::Tar(_))));
    assert!(matches!(data(&[entry(b"usr/bin/x", b'?', 0, b"", b"")]), Err(Problem::Tar(_))));
    // To dpkg the content of a folder would be the next header.
    let smuggled = file("usr/bin/evil", TOOL);
    assert!(matches!(data(&[entry(b"usr/", b'5', smuggled.len() as u64, b"", &smuggled)]), Err(Problem::Tar(_))));
}

#[test]
fn long_names_are_bounded_and_the_last_one_before_an_entry_counts() {
    let long = |name: &[u8]| entry(b"././@LongLink", b'L', name.len() as u64 + 1, b"", &[name, b"\0"].concat());
    let facts = data(&[long(b"usr/bin/first"), long(b"usr/bin/second"), file("short", TOOL)]).unwrap();
    assert_eq!(facts.files[0].path.to_string(), "usr/bin/second");
    let huge = vec![b'n'; 1 << 20];
    assert!(matches!(data(&[long(&huge), file("short", TOOL)]), Err(Problem::Path)));
    let many: Vec<Vec<u8>> = std::iter::repeat_with(|| long(b"usr/bin/x")).take(5000).collect();
    assert!(data(&many).unwrap().files.is_empty());
}

#[test]
fn a_hard_link_is_what_it_links_to_when_that_came_with_it() {
    let facts = data(&[file("usr/bin/x", TOOL), entry(b"usr/bin/y", b'1', 0, b"./usr/bin/x", b"")]).unwrap();
    assert_eq!(paths(&facts)[1], ("usr/bin/y".to_owned(), sha256(TOOL)));
    assert!(data(&[entry(b"usr/bin/y", b'1', 0, b"bin/sh", b"")]).unwrap().files.is_empty(), "that lay there before");
}

#[test]
fn damaged_archives_prove_nothing() {
    let whole = deb(&tar(&[file("usr/bin/x", TOOL)]));
    assert!(inspect(&*whole).is_ok());
    // The last two blocks are the archive's own end marks, and more than one dpkg needs.
    for length in (0..whole.len() - 1536).step_by(7) {
        assert!(inspect(&whole[..length]).is_err(), "cut to {length}");
    }
    let control = tar(&[file("./control", CONTROL)]);
    for members in [
        vec![("debian-binary", &b"2.0\n"[..]), ("data.tar", &control)],
        vec![("debian-binary", b"3.0\n"), ("control.tar", &control), ("data.tar", &control)],
        vec![("control.tar", &control), ("debian-binary", b"2.0\n")],
        vec![("debian-binary", b"2.0\n"), ("control.tar.bz2", &control), ("data.tar", &control)],
        vec![("debian-binary", b"2.0\n"), ("control.tar", &tar(&[])), ("data.tar", &control)],
        vec![("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar", &control)],
    ] {
        assert!(inspect(&*ar(&members)).is_err(), "{:?}", members.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    let ignored =
        ar(&[("debian-binary", &b"2.0\n"[..]), ("_future", b"x"), ("control.tar", &control), ("_more", b"xy"), ("data.tar", &tar(&[]))]);
    assert!(inspect(&*ignored).is_ok());
}

#[test]
fn sizes_that_are_not_true_are_refused_without_believing_them() {
    assert!(data(&[entry(b"usr/bin/x", b'0', 1 << 32, b"", TOOL)]).is_err());
    let mut lying = deb(&tar(&[file("usr/bin/x", TOOL)]));
    lying[8 + 48..8 + 58].copy_from_slice(b"9999999999");
    assert!(inspect(&*lying).is_err());
}

#[test]
fn a_bomb_ends_at_the_limit() {
    // A gigabyte of nothing in a control archive, some hundred kilobytes packed.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let content = entry(b"./control", b'0', 1 << 30, b"", b"");
    std::io::Write::write_all(&mut packed, &content).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 128 << 20), &mut packed).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    assert!(inspect(&*ar(&[("debian-binary", &b"2.0\n"[..]), ("control.tar.gz", &packed)])).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = inspect(&*bytes);
        let _ = inspect(&*deb(&bytes));
        for name in ["control.tar.gz", "control.tar.xz", "control.tar.zst"] {
            let _ = inspect(&*ar(&[("debian-binary", &b"2.0\n"[..]), (name, &bytes)]));
        }
    }
}
