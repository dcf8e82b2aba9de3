//! Compiled Python beside its source: what vouches for it, and everything that does not.

use std::fs::{File, Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::*;

const SOURCE: &[u8] = b"print('hello')\n";
const COMPILED: &str = "usr/lib/tool/__pycache__/tool.cpython-311.pyc";
/// When every source here was packed.
const PACKED_S: u32 = 1_700_000_000;

/// A `.pyc` of Python 3.11 that names a source of so many bytes, packed then.
fn pyc(flags: u32, modified_s: u32, size: u32) -> Vec<u8> {
    let words = [flags, modified_s, size].map(u32::to_le_bytes).concat();
    [&3495_u16.to_le_bytes()[..], b"\r\n", &words, b"any code"].concat()
}

fn good() -> Vec<u8> {
    pyc(0, PACKED_S, SOURCE.len() as u32)
}

/// A root with one packaged source, packed when it should be.
fn root() -> TestRoot {
    let package = TestPackage::new("tool", "1").file("usr/lib/tool/tool.py", SOURCE.to_vec());
    let root = TestRoot::new().with_package(&package);
    set_modified(&root, "usr/lib/tool/tool.py");
    root
}

fn set_modified(root: &TestRoot, path: &str) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(PACKED_S.into());
    File::options().write(true).open(root.at(path)).unwrap().set_modified(time).unwrap();
}

fn is_settled(root: &TestRoot) -> bool {
    if root.path().metadata().unwrap().uid() != 0 {
        eprintln!("SKIPPED: a test of bytecode, because only root's files are trusted");
        return true;
    }
    let scanned = TestScan::of(root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.summary.counts.candidates, 1);
    scanned.summary.counts.package_trusted == 1
}

#[test]
fn bytecode_is_settled_by_the_package_of_its_unchanged_source_and_counted_for_it() {
    let root = root().with(COMPILED, good());
    assert!(is_settled(&root));
    if root.path().metadata().unwrap().uid() == 0 {
        let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
        let [SourceCount { source: Source::Package(package), files: 1, modified: 0 }] = &scanned.summary.inventory[..] else {
            panic!("{:?}", scanned.summary)
        };
        assert_eq!(package.name, "tool");
    }
}

#[test]
fn what_python_itself_compiles_is_settled_until_somebody_changes_the_source() {
    let root = root();
    let source = root.at("usr/lib/tool/tool.py");
    let compile = || Command::new("python3").args(["-m", "py_compile"]).arg(&source).status();
    if !compile().is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: bytecode of a real Python, because python3 does not run here");
    }
    assert!(is_settled(&root));
    root.write("usr/lib/tool/tool.py", "print('something else')\n");
    compile().unwrap();
    assert!(root.path().metadata().unwrap().uid() != 0 || !is_settled(&root), "true to a source that no package lists");
}

#[test]
fn optimised_bytecode_has_the_same_source() {
    assert!(is_settled(&root().with("usr/lib/tool/__pycache__/tool.cpython-311.opt-2.pyc", good())));
}

#[test]
fn bytecode_whose_header_names_another_source_is_not_settled() {
    for other in
        [pyc(0, PACKED_S + 1, SOURCE.len() as u32), pyc(0, PACKED_S, 1), pyc(1, PACKED_S, SOURCE.len() as u32), good()[..15].to_vec()]
    {
        let root = root().with(COMPILED, &other);
        assert!(root.path().metadata().unwrap().uid() != 0 || !is_settled(&root), "{}", other.escape_ascii());
    }
}

/// What has to change for the bytecode to lose its trust.
type Spoil = fn(&TestRoot);

#[test]
fn nothing_vouches_for_bytecode_that_others_could_have_written_or_whose_source_is_another() {
    let spoils: [(&str, Spoil); 8] = [
        ("the source was changed to as many bytes and its time set back", |root| {
            root.write("usr/lib/tool/tool.py", vec![b'x'; SOURCE.len()]);
            set_modified(root, "usr/lib/tool/tool.py");
        }),
        ("the source is gone", |root| fs::remove_file(root.at("usr/lib/tool/tool.py")).unwrap()),
        ("the source is a link", |root| {
            fs::rename(root.at("usr/lib/tool/tool.py"), root.at("usr/lib/tool/other")).unwrap();
            symlink("other", root.at("usr/lib/tool/tool.py")).unwrap();
        }),
        ("others may write the bytecode", |root| set_permissions(root.at(COMPILED), Permissions::from_mode(0o666)).unwrap()),
        ("the bytecode is somebody's", |root| chown(root.at(COMPILED), Some(1000), Some(1000)).unwrap()),
        ("the source is somebody's", |root| chown(root.at("usr/lib/tool/tool.py"), Some(1000), None).unwrap()),
        ("others may write its folder", |root| {
            set_permissions(root.at("usr/lib/tool/__pycache__"), Permissions::from_mode(0o777)).unwrap();
        }),
        ("others may write a folder above", |root| set_permissions(root.at("usr/lib/tool"), Permissions::from_mode(0o777)).unwrap()),
    ];
    for (what, spoil) in spoils {
        let root = root().with(COMPILED, good());
        if root.path().metadata().unwrap().uid() != 0 {
            return eprintln!("SKIPPED: a test of bytecode, because only root's files are trusted");
        }
        spoil(&root);
        let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
        let paths = scanned.paths();
        assert!(paths.contains(&format!("/{COMPILED}")), "{what}: {paths:?}");
    }
}

#[test]
fn bytecode_elsewhere_or_of_a_source_no_package_lists_is_not_settled() {
    let elsewhere = root().with("usr/lib/tool/tool.pyc", good());
    let unlisted = root().with("opt/tool/tool.py", SOURCE).with("opt/tool/__pycache__/tool.cpython-311.pyc", good());
    set_modified(&unlisted, "opt/tool/tool.py");
    for root in [elsewhere, unlisted] {
        assert!(root.path().metadata().unwrap().uid() != 0 || !is_settled(&root));
    }
}
