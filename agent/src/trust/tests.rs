mod signed;

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use doorward_policy::{Blake3, DigestAlgorithm, Fit, Level, Md5, PackageEvidence, PackageManager, Sha256};
use md5::Digest as _;
use proptest::prelude::*;

use super::fixture::{TestPackage, TestRoot, absolute, script};
use super::verify::{Finding, verify};
use super::*;
use crate::identify::Digests;

/// Longest wait for the watch; it needs half a second.
const NOTICED_MS: u64 = 20_000;

fn md5(content: &[u8]) -> Md5 {
    Md5::new(md5::Md5::digest(content).into())
}

/// As they are taken of a file that dpkg lists.
fn digests(content: &[u8]) -> Digests {
    let (sha256, blake3) = (sha2::Sha256::digest(content).into(), blake3::hash(content).into());
    Digests { sha256: Sha256::new(sha256), blake3: Blake3::new(blake3), listed: Some(md5(content).into()) }
}

fn load(root: &TestRoot) -> PackageTrust {
    PackageTrust::load(root.path()).unwrap().unwrap()
}

/// How the file at `path` with this content fits, and by which package.
fn fit(trust: &PackageTrust, path: &str, content: &[u8]) -> Option<(String, Fit)> {
    trust.evidence(&absolute(path), &digests(content)).map(|evidence| (evidence.name, evidence.fit))
}

fn named(name: &str, fit: Fit) -> Option<(String, Fit)> {
    Some((name.to_owned(), fit))
}

#[test]
fn a_packaged_file_matches_until_it_is_changed() {
    let root = TestRoot::new().with_package(&TestPackage::new("greeter", "1:2.0-3").file("usr/bin/greet", script("echo hello")));
    let trust = load(&root);
    assert_eq!(
        trust.evidence(&absolute("usr/bin/greet"), &digests(&script("echo hello"))),
        Some(PackageEvidence {
            manager: PackageManager::Dpkg,
            name: "greeter".to_owned(),
            version: "1:2.0-3".to_owned(),
            origin: String::new(),
            level: Level::Database,
            fit: Fit::Match,
        })
    );
    assert_eq!(fit(&trust, "usr/bin/greet", &script("echo boo")), named("greeter", Fit::Modified));
    assert_eq!(fit(&trust, "usr/bin/other", &script("echo hello")), None);
    assert_eq!(trust.wanted_digest(&absolute("usr/bin/greet")), Some(DigestAlgorithm::Md5));
    assert_eq!(trust.problems(PackageManager::Dpkg).unwrap().total(), 0);
    assert_eq!(trust.incompleteness(), None);
}

#[test]
fn folders_are_nobodys_and_files_without_a_digest_prove_nothing() {
    let package = TestPackage::new("old", "1").file("opt/old/bin/run", script("true")).without_digests();
    let trust = load(&TestRoot::new().with_package(&package));
    assert_eq!(fit(&trust, "opt/old/bin/run", &script("true")), named("old", Fit::NoDigest));
    assert_eq!(fit(&trust, "opt/old/bin", b""), None);
    assert_eq!(trust.wanted_digest(&absolute("opt/old/bin/run")), None);
    let none = Digests { listed: None, ..digests(b"") };
    assert_eq!(trust.evidence(&absolute("opt/old/bin/run"), &none).unwrap().fit, Fit::NoDigest);
}

#[test]
fn on_a_merged_usr_both_names_are_one_file() {
    let package = TestPackage::new("shell", "5").file("bin/sh", script("true")).file("usr/lib/shell/rc", script("rc"));
    let trust = load(&TestRoot::new().merged_usr().with_package(&package));
    for path in ["bin/sh", "usr/bin/sh"] {
        assert_eq!(fit(&trust, path, &script("true")), named("shell", Fit::Match), "{path}");
    }
    assert_eq!(fit(&trust, "lib/shell/rc", &script("rc")), named("shell", Fit::Match));
}

#[test]
fn a_diverted_file_is_vouched_for_where_it_lies() {
    let theirs = TestPackage::new("theirs", "1").file("usr/bin/tool", script("theirs"));
    let ours = TestPackage::new("ours", "1").file("usr/bin/tool", script("ours"));
    let root = TestRoot::new();
    root.divert("/usr/bin/tool", "/usr/bin/tool.theirs", "ours");
    root.divert("/usr/bin/local", "/usr/bin/local.distrib", ":");
    root.register(&theirs);
    root.register(&ours);
    root.register(&TestPackage::new("third", "1").file("usr/bin/local", script("third")));
    let trust = load(&root);
    assert_eq!(fit(&trust, "usr/bin/tool", &script("ours")), named("ours", Fit::Match));
    assert_eq!(fit(&trust, "usr/bin/tool.theirs", &script("theirs")), named("theirs", Fit::Match));
    assert_eq!(fit(&trust, "usr/bin/local.distrib", &script("third")), named("third", Fit::Match));
    assert_eq!(fit(&trust, "usr/bin/local", &script("third")), None);
}

#[test]
fn two_architectures_share_a_file_and_either_vouches_for_its_own() {
    let root = TestRoot::new();
    for (architecture, words) in [("amd64", "long"), ("i386", "short")] {
        let package = TestPackage::new("libgreet", "2").multi_arch(architecture);
        root.register(&package.file("usr/share/greet/words", script("shared")).file("usr/share/greet/width", script(words)));
    }
    let trust = load(&root);
    assert_eq!(fit(&trust, "usr/share/greet/words", &script("shared")), named("libgreet:amd64", Fit::Match));
    assert_eq!(fit(&trust, "usr/share/greet/width", &script("short")), named("libgreet:i386", Fit::Match));
    assert_eq!(fit(&trust, "usr/share/greet/width", &script("odd")).unwrap().1, Fit::Modified);
}

#[test]
fn a_conffile_fits_by_what_the_package_brought() {
    let trust = load(&TestRoot::new().with_package(&TestPackage::new("daemon", "3").conffile("etc/init.d/daemon", script("start"))));
    assert_eq!(fit(&trust, "etc/init.d/daemon", &script("start")), named("daemon", Fit::Match));
    assert_eq!(fit(&trust, "etc/init.d/daemon", &script("start --debug")), named("daemon", Fit::Modified));
}

#[test]
fn a_file_that_another_package_took_over_is_no_longer_its_first_owners() {
    let root = TestRoot::new();
    root.register(&TestPackage::new("first", "1").file("usr/bin/moved", script("first")).file("usr/bin/kept", script("kept")));
    root.register(&TestPackage::new("second", "1").file("usr/bin/moved", script("second")));
    // What dpkg leaves of the first package: the list without the file, the digests with it.
    fs::write(root.database().join("info/first.list"), "/.\n/usr\n/usr/bin\n/usr/bin/kept\n").unwrap();
    let trust = load(&root);
    assert_eq!(fit(&trust, "usr/bin/moved", &script("first")), named("second", Fit::Modified));
    assert_eq!(fit(&trust, "usr/bin/moved", &script("second")), named("second", Fit::Match));
}

#[test]
fn a_package_in_the_middle_of_an_upgrade_calls_nothing_modified() {
    let package = TestPackage::new("busy", "1").file("usr/bin/busy", script("old"));
    let root = TestRoot::new().with_package(&package);
    // dpkg's journal has it half installed before the status file says so.
    fs::write(root.database().join("updates/0000"), package.status("install reinstreq half-installed").stanza()).unwrap();
    let trust = load(&root);
    assert_eq!(fit(&trust, "usr/bin/busy", &script("new")), named("busy", Fit::NoDigest));
    assert_eq!(fit(&trust, "usr/bin/busy", &script("old")), named("busy", Fit::Match));
}

#[test]
fn what_a_removed_package_left_behind_is_nobodys() {
    let package = TestPackage::new("gone", "1").status("deinstall ok config-files").conffile("etc/init.d/gone", script("start"));
    let trust = load(&TestRoot::new().with_package(&package));
    assert_eq!(fit(&trust, "etc/init.d/gone", &script("start")), None);
    assert_eq!(trust.packages(), 0);
}

#[test]
fn a_host_without_dpkg_has_no_package_trust_and_that_is_no_error() {
    let root = TestRoot::bare();
    assert!(PackageTrust::load(root.path()).unwrap().is_none());
    let (trust, errors) = Trust::open(root.path());
    assert!(trust.current().is_none() && errors.is_empty());
    drop(Watch::start(Arc::new(trust), |_| {}).unwrap());
}

#[test]
fn damaged_lines_are_counted_with_file_and_line_and_the_rest_holds() {
    let root = TestRoot::new().with_package(&TestPackage::new("good", "1").file("usr/bin/good", script("good")));
    root.register(&TestPackage::new("bad", "1").file("usr/bin/bad", script("bad")).file("usr/bin/well", script("well")));
    fs::write(root.database().join("info/bad.md5sums"), b"zz  usr/bin/bad\nno digest\n\xff\xfe\x00\n").unwrap();
    root.register(&TestPackage::new("unlisted", "1"));
    fs::remove_file(root.database().join("info/unlisted.list")).unwrap();
    root.divert("relative", "/x", "y");
    let status = fs::read_to_string(root.database().join("status")).unwrap();
    fs::write(root.database().join("status"), format!("this is no field\n\n\u{1b}[31mPackage\n\n{status}")).unwrap();
    let trust = load(&root);
    assert_eq!(fit(&trust, "usr/bin/good", &script("good")), named("good", Fit::Match));
    assert_eq!(fit(&trust, "usr/bin/well", &script("well")), named("bad", Fit::NoDigest));
    let counts = trust.problems(PackageManager::Dpkg).unwrap().counts();
    assert_eq!(counts["md5sums"], 3);
    assert_eq!(counts["list"], 1);
    assert!(counts["status"] >= 2 && counts["diversions"] >= 1, "{counts:?}");
    let samples = trust.problems(PackageManager::Dpkg).unwrap().samples();
    assert!(samples.iter().any(|sample| sample.starts_with("bad.md5sums: line 1:")), "{samples:?}");
    assert!(samples.iter().all(|sample| !sample.contains('\u{1b}')));
    assert!(trust.incompleteness().is_some());
}

#[test]
fn a_status_file_that_is_a_fifo_or_a_folder_is_an_error_and_no_wait() {
    let root = TestRoot::new();
    let status = root.database().join("status");
    fs::remove_file(&status).unwrap();
    nix::unistd::mkfifo(&status, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(PackageTrust::load(root.path()), Err(TrustError::Unreadable { .. })));
    fs::remove_file(&status).unwrap();
    fs::create_dir(&status).unwrap();
    assert!(matches!(PackageTrust::load(root.path()), Err(TrustError::Unreadable { .. })));
}

#[test]
fn a_database_that_is_not_whole_never_replaces_one_that_was() {
    let root = TestRoot::new().with_package(&TestPackage::new("kept", "1").file("usr/bin/kept", script("kept")));
    let (trust, errors) = Trust::open(root.path());
    assert!(errors.is_empty());
    let status = root.database().join("status");
    let whole = fs::read(&status).unwrap();
    for broken in [&whole[..whole.len() / 2], b""] {
        fs::write(&status, broken).unwrap();
        assert!(matches!(trust.reload(PackageManager::Dpkg), Err(TrustError::Incomplete(_))));
    }
    fs::remove_file(&status).unwrap();
    assert!(matches!(trust.reload(PackageManager::Dpkg), Err(TrustError::Incomplete(_))));
    fs::create_dir(&status).unwrap();
    assert!(matches!(trust.reload(PackageManager::Dpkg), Err(TrustError::Unreadable { .. })));
    assert_eq!(fit(&trust.current().unwrap(), "usr/bin/kept", &script("kept")), named("kept", Fit::Match));

    fs::remove_dir(&status).unwrap();
    fs::write(&status, &whole).unwrap();
    root.register(&TestPackage::new("added", "1").file("usr/bin/added", script("added")));
    trust.reload(PackageManager::Dpkg).unwrap();
    assert_eq!(fit(&trust.current().unwrap(), "usr/bin/added", &script("added")), named("added", Fit::Match));
}

#[test]
fn the_watch_notices_a_new_package_and_ends_when_dropped() {
    let root = TestRoot::new();
    let trust = Arc::new(Trust::open(root.path()).0);
    let (told, outcomes) = sync_channel(16);
    let watch = Watch::start(trust.clone(), move |outcome| drop(told.try_send(outcome))).unwrap();
    root.register(&TestPackage::new("fresh", "1").file("usr/bin/fresh", script("fresh")));
    loop {
        outcomes.recv_timeout(Duration::from_millis(NOTICED_MS)).expect("the change is noticed in time").unwrap();
        if fit(&trust.current().unwrap(), "usr/bin/fresh", &script("fresh")).is_some() {
            break;
        }
    }
    drop(watch);
    assert!(matches!(outcomes.recv_timeout(Duration::from_millis(NOTICED_MS)), Err(std::sync::mpsc::RecvTimeoutError::Disconnected)));
}

#[test]
fn dpkgs_lock_tells_that_it_is_at_work() {
    use nix::fcntl::{FcntlArg, fcntl};
    let root = TestRoot::new();
    assert!(!transaction_is_open(root.path()));
    let lock = fs::File::create(root.database().join("lock")).unwrap();
    assert!(!transaction_is_open(root.path()));
    // An open-file lock, since a process never sees its own classic ones.
    let range = libc::flock { l_type: libc::F_WRLCK as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&lock, FcntlArg::F_OFD_SETLK(&range)).unwrap();
    assert!(transaction_is_open(root.path()));
    drop(lock);
    assert!(!transaction_is_open(root.path()));
}

#[test]
fn verification_tells_what_anyone_changed_of_what_packages_brought() {
    let package = TestPackage::new("many", "1")
        .file("usr/bin/same", script("same"))
        .file("usr/share/doc/many/changed", "text")
        .file("usr/share/doc/many/missing", "text")
        .file("usr/share/doc/many/link", "text")
        .file("usr/share/doc/many/fifo", "text")
        .conffile("etc/many", "conf");
    let root = TestRoot::new().with_package(&package).with("usr/share/doc/many/changed", "other").with("etc/many", "edited");
    for gone in ["missing", "link", "fifo"] {
        fs::remove_file(root.at(format!("usr/share/doc/many/{gone}"))).unwrap();
    }
    std::os::unix::fs::symlink("changed", root.at("usr/share/doc/many/link")).unwrap();
    nix::unistd::mkfifo(&root.at("usr/share/doc/many/fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let mut verification = verify(root.path(), 2).unwrap().unwrap();
    verification.named.sort();
    assert_eq!((verification.matching, verification.modified, verification.missing, verification.unreadable), (1, 3, 1, 0));
    assert_eq!(verification.named[3], (absolute("usr/share/doc/many/missing"), Finding::Missing));
    assert_eq!(verify(TestRoot::bare().path(), 2).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_database_whatever_makes_loading_panic(
        status in proptest::collection::vec(any::<u8>(), 0..400),
        list in proptest::collection::vec(any::<u8>(), 0..200),
        md5sums in proptest::collection::vec(any::<u8>(), 0..200),
        cut in any::<proptest::sample::Index>(),
    ) {
        let package = TestPackage::new("victim", "1").file("usr/bin/victim", script("victim")).conffile("etc/victim", "conf");
        let root = TestRoot::new();
        root.register(&package);
        let whole = fs::read(root.database().join("status")).unwrap();
        let place = cut.index(whole.len());
        fs::write(root.database().join("status"), [&whole[..place], &status, &whole[place..]].concat()).unwrap();
        fs::write(root.database().join("info/victim.list"), [&list[..], b"\n/usr/bin/victim\n"].concat()).unwrap();
        fs::write(root.database().join("info/victim.md5sums"), md5sums).unwrap();
        fs::write(root.database().join("diversions"), &status).unwrap();
        let trust = PackageTrust::load(root.path()).unwrap().unwrap();
        let _ = trust.evidence(&absolute("usr/bin/victim"), &digests(b""));
    }
}

#[test]
fn the_paths_of_a_package_are_where_its_files_really_lie() {
    let game = TestPackage::new("game", "1").file("bin/game", script("play")).file("usr/share/game/data", script("data"));
    let root =
        TestRoot::new().merged_usr().with_package(&game).with_package(&TestPackage::new("other", "1").file("usr/bin/other", script("x")));
    root.divert("/usr/share/game/data", "/usr/share/game/data.real", "other");
    let (trust, problems) = Trust::open(root.path());
    assert!(problems.is_empty(), "{problems:?}");
    let mut paths = trust.paths_of("game").unwrap();
    paths.sort();
    assert_eq!(paths, ["usr/bin/game", "usr/share/game/data.real"].map(absolute));
    assert_eq!(trust.paths_of("nobody"), Some(Vec::new()));
    fs::remove_file(root.database().join("info/game.list")).unwrap();
    assert_eq!(trust.paths_of("game"), None, "nobody can tell");
}
