//! Headers and databases of rpm: those that rpm 4.18 itself wrote (`sample/rpm`), and headers built here for what no
//! package of today has.
//!
//! `Packages.db` is rpm's own NDB backend's work, with a package that was installed and erased again before. `Packages` was
//! loaded by Berkeley DB 5.3's `db5.3_load` with headers that rpm wrote, and rpm's own reader of that format reads it.

use std::io::Cursor;
use std::ops::ControlFlow;

use doorward_formats::rpm::{Bdb, Fault, FileState, Header, Ndb, Package, PackagedFile};
use doorward_policy::{DigestAlgorithm, ListedDigest};

use crate::sample::{HeaderSample, Value};

const NDB: &[u8] = include_bytes!("sample/rpm/Packages.db");
const BDB: &[u8] = include_bytes!("sample/rpm/Packages");

fn ndb(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, Fault> {
    let mut found = Vec::new();
    Ndb::open(Cursor::new(bytes))?.each(0, |number, blob| {
        found.push((number, blob.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn bdb(bytes: &[u8]) -> Result<Vec<(u32, Vec<u8>)>, Fault> {
    let mut found = Vec::new();
    Bdb::open(Cursor::new(bytes))?.each(0, |number, blob| {
        found.push((number, blob.to_vec()));
        ControlFlow::Continue(())
    })?;
    found.sort();
    Ok(found)
}

fn files(blob: &[u8]) -> Vec<(String, PackagedFile<'_>)> {
    let package = Package::of(Header::new(blob).unwrap()).unwrap();
    let mut path = Vec::new();
    let files = package.files().unwrap().map(|file| {
        let file = file.unwrap();
        assert!(file.path_into(&mut path), "{file:?}");
        (String::from_utf8(path.clone()).unwrap(), file)
    });
    files.collect()
}

fn sha256(digits: &str) -> Option<ListedDigest> {
    ListedDigest::from_hex(DigestAlgorithm::Sha256, digits.as_bytes())
}

#[test]
fn both_databases_give_the_packages_that_are_installed_and_no_other() {
    let (ndb, bdb) = (ndb(NDB).unwrap(), bdb(BDB).unwrap());
    let names = |found: &[(u32, Vec<u8>)]| -> Vec<(u32, String)> {
        let name = |blob: &[u8]| String::from_utf8_lossy(Package::of(Header::new(blob).unwrap()).unwrap().name).into_owned();
        found.iter().map(|(number, blob)| (*number, name(blob))).collect()
    };
    // The erased one had number 2.
    assert_eq!(names(&ndb), [(1, "gpg-pubkey".to_owned()), (3, "tool".to_owned())]);
    assert_eq!(names(&bdb), [(1, "gpg-pubkey".to_owned()), (2, "tool".to_owned())]);
    assert_eq!(Ndb::open(Cursor::new(NDB)).unwrap().generation(), 5);
}

#[test]
fn only_what_is_newer_is_given_where_that_is_asked_for_and_no_more_than_is_wanted() {
    let mut numbers = Vec::new();
    let mut note = |number, flow| {
        numbers.push(number);
        flow
    };
    Ndb::open(Cursor::new(NDB)).unwrap().each(1, |number, _| note(number, ControlFlow::Continue(()))).unwrap();
    Bdb::open(Cursor::new(BDB)).unwrap().each(1, |number, _| note(number, ControlFlow::Continue(()))).unwrap();
    Ndb::open(Cursor::new(NDB)).unwrap().each(0, |number, _| note(number, ControlFlow::Break(()))).unwrap();
    assert_eq!(numbers, [3, 2, 1]);
}

#[test]
fn a_package_says_what_it_is_and_what_its_files_are() {
    for found in [ndb(NDB).unwrap(), bdb(BDB).unwrap()] {
        let blob = &found[1].1;
        let package = Package::of(Header::new(blob).unwrap()).unwrap();
        assert_eq!((package.epoch, package.version, package.release), (0, b"1.0".as_slice(), b"1".as_slice()));
        assert_eq!((package.architecture, package.vendor), (b"x86_64".as_slice(), b"Example Vendor".as_slice()));
        assert!(package.is_relocated && !package.is_key());
        let files = files(blob);
        let paths: Vec<_> = files.iter().map(|(path, _)| path.as_str()).collect();
        let expected = [
            "etc/tool.conf",
            "opt/moved/bin/opt",
            "usr/bin/noverify",
            "usr/bin/sym",
            "usr/bin/tool",
            "usr/bin/tool-link",
            "var/log/tool.log",
        ];
        assert_eq!(paths, expected, "where the relocation put them");
        let of = |path: &str| &files.iter().find(|(known, _)| known == path).unwrap().1;
        assert!(of("etc/tool.conf").is_config && of("var/log/tool.log").is_ghost && !of("usr/bin/sym").is_regular);
        assert!(!of("usr/bin/noverify").is_verified && of("usr/bin/tool").is_verified);
        assert_eq!((of("usr/bin/tool").size, of("usr/bin/tool").state), (20, FileState::Normal));
        assert_eq!(of("usr/bin/tool").digest, sha256("bf664cf84f00f6ed76164c8457fdeaf8e4dee547226e9ffcf8274e2d2246fed9"));
        assert_eq!(of("usr/bin/tool").link, of("usr/bin/tool-link").link);
        assert_ne!(of("usr/bin/tool").link, of("etc/tool.conf").link);
        assert_eq!(of("var/log/tool.log").digest, None);
    }
}

#[test]
fn a_key_of_the_keyring_is_no_package_and_signatures_lie_beside_what_they_cover() {
    let found = ndb(NDB).unwrap();
    let key = Package::of(Header::new(&found[0].1).unwrap()).unwrap();
    assert!(key.is_key());
    assert_eq!(key.header().encoded_keys().count(), 1);
    assert!(key.header().encoded_keys().all(|key| key.starts_with(b"mQ")), "an OpenPGP public key in base64");
    let tool = Header::new(&found[1].1).unwrap();
    assert_eq!((tool.signatures().count(), tool.encoded_signatures().count()), (1, 0));
    let parts = tool.sealed().unwrap();
    let parts = parts.parts();
    assert_eq!(parts[0], [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]);
    assert_eq!(parts[2].len() % 16, 0);
    assert!(parts.iter().map(|part| part.len()).sum::<usize>() < found[1].1.len(), "what was added is not sealed");
}

#[test]
fn every_algorithm_is_known_by_its_number_and_a_digest_by_its_length() {
    let digests = [
        (None, "d41d8cd98f00b204e9800998ecf8427e".to_owned(), Some(DigestAlgorithm::Md5)),
        (Some(1), "0".repeat(32), Some(DigestAlgorithm::Md5)),
        (Some(2), "0".repeat(40), Some(DigestAlgorithm::Sha1)),
        (Some(11), "0".repeat(56), Some(DigestAlgorithm::Sha224)),
        (Some(8), "0".repeat(64), Some(DigestAlgorithm::Sha256)),
        (Some(9), "0".repeat(96), Some(DigestAlgorithm::Sha384)),
        (Some(10), "0".repeat(128), Some(DigestAlgorithm::Sha512)),
        (Some(12), "0".repeat(64), Some(DigestAlgorithm::Sha3_256)),
        (Some(14), "0".repeat(128), Some(DigestAlgorithm::Sha3_512)),
        // RIPEMD-160, and a digest of another length than the algorithm gives.
        (Some(3), "0".repeat(40), None),
        (Some(8), "0".repeat(32), None),
    ];
    for (code, digits, algorithm) in digests {
        let header = HeaderSample::package("p", &["/bin/"], &[(0, "a")]).with(1035, Value::Texts(vec![digits.leak()]));
        let header = code.map_or(header.clone(), |code| header.with(5011, Value::Number(vec![code])));
        let blob = header.blob();
        assert_eq!(files(&blob)[0].1.digest.map(|digest| digest.algorithm()), algorithm, "{code:?}");
    }
}

#[test]
fn large_files_states_and_flags_are_read() {
    let names = [(0, "a"), (0, "b"), (0, "c"), (0, "d"), (0, "e")];
    let blob = HeaderSample::package("p", &["/"], &names)
        .with(5008, Value::Long(vec![5 << 30, 1, 1, 1, 1]))
        .with(1037, Value::Number(vec![1 << 3, 1 << 1, 1, 1 << 6, 0]))
        .with(1045, Value::Number(vec![u32::MAX, u32::MAX - 1, 0, u32::MAX, 1]))
        .added(1029, Value::Bytes(vec![0, 1, 2, 3, 4]))
        .blob();
    let files = files(&blob);
    assert_eq!(files[0].0, "a", "in the root");
    let files: Vec<_> = files.into_iter().map(|(_, file)| file).collect();
    assert_eq!(files[0].size, 5 << 30);
    assert!(files[0].may_be_missing && files[1].is_doc && files[2].is_config && files[3].is_ghost);
    assert_eq!(files.iter().map(|file| file.is_verified).collect::<Vec<_>>(), [true, false, false, true, true]);
    let states = [FileState::Normal, FileState::Replaced, FileState::NotInstalled, FileState::NetShared, FileState::WrongColor];
    assert_eq!(files.iter().map(|file| file.state).collect::<Vec<_>>(), states);
}

#[test]
fn what_is_added_to_a_sealed_header_changes_places_and_nothing_else() {
    let zeros = "0".repeat(64).leak();
    let ones = "1".repeat(64).leak();
    let sealed = HeaderSample::package("p", &["/bin/"], &[(0, "a")])
        .with(1035, Value::Texts(vec![zeros]))
        .with(5011, Value::Number(vec![8]))
        .added(1000, Value::Text("q"))
        .added(1035, Value::Texts(vec![ones]))
        .added(1118, Value::Texts(vec!["/opt/"]));
    let blob = sealed.blob();
    assert_eq!(Package::of(Header::new(&blob).unwrap()).unwrap().name, b"p");
    assert_eq!(files(&blob)[0].0, "opt/a");
    assert_eq!(files(&blob)[0].1.digest, sha256(zeros));
    let unsealed = HeaderSample::package("p", &["/bin/"], &[(0, "a")]).unsealed().blob();
    assert!(Header::new(&unsealed).unwrap().sealed().is_none());
    assert_eq!(files(&unsealed)[0].0, "bin/a");
}

#[test]
fn a_sealed_index_that_points_behind_the_seal_finds_nothing() {
    let sample = HeaderSample::package("p", &["/bin/"], &[(0, "a")]).added(1005, Value::Text("forged"));
    let mut blob = sample.blob();
    let forged = blob.windows(6).position(|bytes| bytes == b"forged").unwrap();
    let entries = u32::from_be_bytes(blob[..4].try_into().unwrap()) as usize;
    let offset = (forged - 8 - entries * 16) as u32;
    let name = (0..entries).find(|at| blob[8 + at * 16..12 + at * 16] == 1000u32.to_be_bytes()).unwrap();
    blob[16 + name * 16..20 + name * 16].copy_from_slice(&offset.to_be_bytes());
    assert!(matches!(Package::of(Header::new(&blob).unwrap()), Err(Fault::Tag(1000))));
}

#[test]
fn paths_that_would_lead_elsewhere_are_none() {
    let hostile = [
        ("/bin/../", "a"),
        ("bin/", "a"),
        ("/bin/", ".."),
        ("/bin/", "a/b"),
        ("/bin/", ""),
        ("//bin/", "a"),
        ("/bin/./", "a"),
        ("/bin/", "a\nb"),
    ];
    for (folder, name) in hostile {
        let blob = HeaderSample::package("p", &[folder], &[(0, name)]).blob();
        let package = Package::of(Header::new(&blob).unwrap()).unwrap();
        let file = package.files().unwrap().next().unwrap().unwrap();
        assert!(!file.path_into(&mut Vec::new()), "{folder}{name}");
    }
}

#[test]
fn lists_that_do_not_fit_each_other_are_no_files() {
    let sample = || HeaderSample::package("p", &["/bin/"], &[(0, "a"), (0, "b")]);
    let odd = [
        sample().with(1030, Value::Short(vec![0o100_755])),
        sample().with(1035, Value::Texts(vec!["00"])),
        sample().with(1118, Value::Texts(vec!["/a/", "/b/", "/c/"])),
        sample().added(1117, Value::Texts(vec!["a"])),
        sample().added(1029, Value::Bytes(vec![0])),
    ];
    for sample in odd {
        let blob = sample.blob();
        let package = Package::of(Header::new(&blob).unwrap()).unwrap();
        assert!(matches!(package.files(), Err(Fault::Files)), "{sample:?}");
    }
    let blob = sample().with(1116, Value::Number(vec![0, 7])).blob();
    let package = Package::of(Header::new(&blob).unwrap()).unwrap();
    let found: Vec<_> = package.files().unwrap().collect();
    assert!(matches!(&found[..], [Ok(_), Err(Fault::Path(1))]));
    let wrong = sample().with(1000, Value::Number(vec![1])).blob();
    assert!(matches!(Package::of(Header::new(&wrong).unwrap()), Err(Fault::Tag(1000))));
}

#[test]
fn a_database_that_was_cut_or_changed_in_one_place_says_so_or_the_same() {
    for at in (0..NDB.len()).step_by(97) {
        assert!(ndb(&NDB[..at]).is_err(), "cut at {at}");
    }
    let whole = ndb(NDB).unwrap();
    for at in (4096..NDB.len()).step_by(41) {
        let mut changed = NDB.to_vec();
        changed[at] ^= 0x10;
        // What is between blobs is nobody's.
        assert!(ndb(&changed).map_or(true, |found| found == whole), "changed at {at}");
    }
    for at in (0..BDB.len()).step_by(97) {
        assert!(bdb(&BDB[..at]).is_err(), "cut at {at}");
    }
    assert!(matches!(ndb(BDB), Err(Fault::Database(_))));
    assert!(matches!(bdb(NDB), Err(Fault::Database(_))));
}

#[test]
fn a_berkeley_db_of_the_other_byte_order_reads_the_same() {
    // One package with a value short enough for its page, in the second of two buckets.
    let page = 512;
    let mut file = vec![0; page * 3];
    let put = |file: &mut Vec<u8>, at: usize, value: u32| file[at..at + 4].copy_from_slice(&value.to_be_bytes());
    for (at, value) in [(12, 0x0006_1561), (16, 9), (20, page as u32), (32, 2), (72, 1), (96, 1), (100, 1)] {
        put(&mut file, at, value);
    }
    for number in [1, 2] {
        put(&mut file, page * number + 8, number as u32);
        file[page * number + 25] = 13;
    }
    let start = page * 2;
    file[start + 20..start + 22].copy_from_slice(&2u16.to_be_bytes());
    file[start + 26..start + 30].copy_from_slice(&[0x01, 0xfb, 0x01, 0xf6]);
    file[start + 0x1fb..start + 0x200].copy_from_slice(&[1, 0, 0, 0, 9]);
    file[start + 0x1f6..start + 0x1fb].copy_from_slice(b"\x01blob");
    assert_eq!(bdb(&file).unwrap(), [(9, b"blob".to_vec())]);
}
