//! Trees made to hurt whoever walks them.

use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::sync::atomic::AtomicBool;

use super::*;

#[test]
fn any_bytes_are_a_name_and_are_shown_escaped() {
    let root = TestRoot::bare()
        .with(b"odd/new\nline", script("1"))
        .with(b"odd/\x1b[31mred", script("2"))
        .with(b"odd/\xff\xfe", script("3"))
        .with(b"odd/folder\r\x80/run", script("4"))
        .with(b"odd/back\\slash", script("5"));
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    let shown = ["/odd/new\\nline", "/odd/\\x1b[31mred", "/odd/\\xff\\xfe", "/odd/folder\\r\\x80/run", "/odd/back\\\\slash"];
    assert_eq!(scanned.paths(), set(&shown));
    let raw: BTreeSet<_> = scanned.findings.iter().map(|finding| finding.path.as_bytes().to_vec()).collect();
    assert!(raw.contains(&b"/odd/\xff\xfe"[..]));
}

#[test]
fn links_are_not_followed_and_loops_end() {
    let root = TestRoot::bare().with("a/run", script("once"));
    symlink(".", root.at("a/here")).unwrap();
    symlink("..", root.at("a/up")).unwrap();
    symlink("self", root.at("a/self")).unwrap();
    symlink("run", root.at("a/other")).unwrap();
    symlink("/", root.at("everything")).unwrap();
    symlink("nowhere", root.at("dangling")).unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.paths(), set(&["/a/run"]));
    assert_eq!((scanned.summary.counts.files, scanned.summary.counts.skipped), (1, 0));
}

#[test]
fn sockets_and_fifos_are_skipped_and_never_opened() {
    let root = TestRoot::bare().with("a/run", script("1"));
    let _listener = UnixListener::bind(root.at("a/socket")).unwrap();
    nix::unistd::mkfifo(&root.at("a/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.paths(), set(&["/a/run"]));
    assert_eq!(scanned.skips(), [("/a/fifo".to_owned(), SkipReason::NotRegular), ("/a/socket".to_owned(), SkipReason::NotRegular)].into());
    // Asked for by name, too.
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).only(&["/a/fifo"]).run();
    assert_eq!(scanned.skips(), [("/a/fifo".to_owned(), SkipReason::NotRegular)].into());
}

#[test]
fn empty_and_huge_sparse_files_cost_little_and_none_is_trusted_for_its_size() {
    let package = TestPackage::new("big", "1").file("usr/bin/huge", script("huge"));
    let root = TestRoot::new().with_package(&package).with("a/empty", "").with("a/data", "data");
    for (path, length) in [("a/data", 5u64 << 30), ("a/empty-but-long", 5 << 30), ("usr/bin/huge", 5 << 30)] {
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(root.at(path)).unwrap().set_len(length).unwrap();
    }
    let mut scan = TestScan::of(&root, &TempDir::new().unwrap());
    scan.limits = Limits { digest_bytes_max: 4 << 30 };
    let scanned = scan.run();
    assert_eq!(scanned.skips(), [("/usr/bin/huge".to_owned(), SkipReason::TooLarge)].into());
    assert_eq!((scanned.summary.counts.candidates, scanned.summary.counts.package_trusted), (0, 0));
}

#[test]
fn a_sparse_program_of_5_gb_is_identified_within_the_default_limits() {
    let root = TestRoot::bare().with("a/huge", script("huge"));
    let file = fs::OpenOptions::new().write(true).open(root.at("a/huge")).unwrap();
    file.set_len(5 << 30).unwrap();
    file.write_all_at(b"end", (5 << 30) - 3).unwrap();
    drop(file);
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.findings[0].file.attributes.size, 5 << 30);
    assert_eq!(scanned.summary.counts.digested_bytes, 5 << 30);
    assert!(scanned.summary.skipped.is_empty());
}

#[test]
fn a_sparse_program_is_digested_as_the_zeros_it_holds() {
    let root = TestRoot::bare().with("a/padded", script("padded"));
    fs::OpenOptions::new().write(true).open(root.at("a/padded")).unwrap().set_len(16 << 20).unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    let mut content = script("padded");
    content.resize(16 << 20, 0);
    assert_eq!(scanned.findings[0].file.digests.sha256, sha256(&content));
}

#[test]
fn files_and_folders_that_come_and_go_disturb_nothing_else() {
    let root = TestRoot::bare();
    for number in 0..300 {
        root.write(format!("steady/{number}"), script(&number.to_string()));
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let vandal = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for number in 0..20 {
                    root.write(format!("fickle/{number}/deep/run"), script("fickle"));
                }
                for number in 0..20 {
                    let place = root.at(format!("fickle/{number}"));
                    let _ = fs::rename(&place, root.at("fickle/moved"));
                    symlink("/", &place).unwrap();
                    let _ = fs::remove_dir_all(root.at("fickle/moved"));
                    fs::remove_file(place).unwrap();
                }
            }
        });
        for _ in 0..10 {
            let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
            let steady = scanned.paths().iter().filter(|path| path.starts_with("/steady/")).count();
            assert_eq!(steady, 300);
            assert!(scanned.summary.counts.files < 1000, "a link was followed");
            let allowed = [SkipReason::Vanished, SkipReason::ChangedWhileRead];
            assert!(scanned.skipped.iter().all(|(_, reason)| allowed.contains(reason)), "{:?}", scanned.summary.skipped);
        }
        ended.store(true, Ordering::Relaxed);
        vandal.join().unwrap();
    });
}

#[test]
fn what_cannot_be_read_is_skipped_by_name() {
    use std::os::unix::fs::PermissionsExt;
    let root = TestRoot::bare().with("open/run", script("1")).with("shut/run", script("2")).with("open/secret", script("3"));
    let state = TempDir::new().unwrap();
    for (path, mode) in [("", 0o755), ("open/secret", 0o600), ("shut", 0o700)] {
        fs::set_permissions(root.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
    if nix::unistd::geteuid().is_root() {
        // Of this thread alone, and of the scan's threads, which it starts.
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
    } else {
        fs::set_permissions(root.at("open/secret"), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(root.at("shut"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let scanned = TestScan::of(&root, &state).run();
    nix::unistd::setfsuid(nix::unistd::geteuid());
    fs::set_permissions(root.at("shut"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(scanned.paths(), set(&["/open/run"]));
    assert_eq!(scanned.skips(), [("/open/secret".to_owned(), SkipReason::Unreadable), ("/shut".to_owned(), SkipReason::Unreadable)].into());
}

#[test]
fn a_path_longer_than_the_kernel_takes_is_skipped_and_counted() {
    let root = TestRoot::bare().with("run", script("1"));
    // Made step by step, since no path of that length can be given.
    let mut folder = fs::File::open(root.path()).unwrap();
    let name = "n".repeat(250);
    for _ in 0..20 {
        nix::sys::stat::mkdirat(&folder, name.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY;
        folder = nix::fcntl::openat(&folder, name.as_str(), flags, nix::sys::stat::Mode::empty()).unwrap().into();
    }
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.paths(), set(&["/run"]));
    assert_eq!(scanned.summary.skipped, [(SkipReason::PathTooLong, 1)].into());
}

#[test]
fn a_wide_tree_finds_room_in_a_full_queue() {
    let root = TestRoot::bare();
    let wide = queue::FOLDERS_WAITING_MAX * 10;
    fs::create_dir(root.at("wide")).unwrap();
    for number in 0..wide {
        fs::create_dir(root.at(format!("wide/{number}"))).unwrap();
    }
    for number in [0, wide / 2, wide - 1] {
        root.write(format!("wide/{number}/run"), script(&number.to_string()));
    }
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!((scanned.findings.len(), scanned.summary.counts.skipped), (3, 0));
}

#[test]
fn a_tree_both_wide_and_deep_beyond_all_room_is_skipped_and_counted() {
    let root = TestRoot::bare();
    // One folder on the way down, and enough beside it at every level to keep the queue full.
    let mut deep = "deep".to_owned();
    for level in 0..150 {
        for number in 0..4 {
            fs::create_dir_all(root.at(format!("{deep}/{level}-{number}"))).unwrap();
        }
        deep.push_str("/d");
    }
    root.write(format!("{deep}/run"), script("deep"));
    let mut scan = TestScan::of(&root, &TempDir::new().unwrap());
    scan.options.threads = 1;
    let scanned = scan.run();
    let found = u64::from(!scanned.findings.is_empty());
    let too_deep = scanned.summary.skipped.get(&SkipReason::TooDeep).copied().unwrap_or_default();
    assert_eq!(found + u64::from(too_deep > 0), 1, "either met or counted: {:?}", scanned.summary);
}

#[test]
fn names_that_claim_to_be_archives_or_modules_are_looked_at_as_such() {
    let root = TestRoot::bare().with("lib/module.ko.xz", "compressed somehow").with("lib/other.xz", "compressed somehow");
    let mut jar = fs::File::create(root.at("lib/tool.jar")).unwrap();
    jar.write_all(b"not an archive at all").unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.paths(), set(&["/lib/module.ko.xz"]));
}

#[test]
fn a_file_kept_from_readers_by_a_lease_is_scanned_when_the_lease_ends() {
    let root = TestRoot::bare().with("a/run", script("leased"));
    let holder = fs::OpenOptions::new().write(true).open(root.at("a/run")).unwrap();
    match crate::system::lease::hold_for_writing(&holder) {
        Ok(()) => {}
        Err(error) => return eprintln!("SKIPPED: a_file_kept_from_readers_by_a_lease because there are none here: {error}"),
    }
    let opened = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(root.at("a/run")).unwrap_err();
    assert_eq!(SkipReason::from(opened), SkipReason::Leased);
    let scanned = std::thread::scope(|scope| {
        let state = TempDir::new().unwrap();
        let scan = TestScan::of(&root, &state);
        let progress = Arc::clone(&scan.progress);
        scope.spawn(move || {
            // Given up only once the scan has met it.
            while progress.reading().files == 0 {
                std::thread::yield_now();
            }
            drop(holder);
        });
        scan.run()
    });
    assert_eq!(scanned.paths(), set(&["/a/run"]));
    assert_eq!((scanned.summary.counts.files, scanned.summary.counts.skipped), (1, 0));
}
