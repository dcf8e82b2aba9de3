//! What a scan reports, what it keeps to itself, and what it does with a hostile tree.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use doorward_policy::PathBytes;
use doorward_tests::site::{Site, sha256, unheard_of};
use doorward_tests::ti::RecordStatus;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

#[test]
fn only_what_nobody_vouches_for_leaves_the_host() {
    let site = Site::start();
    let (packaged, changed, foreign) = (unheard_of("packaged"), unheard_of("changed by hand"), unheard_of("foreign"));
    let host = site
        .host("web-1")
        .with_package(
            "hello",
            &[("usr/bin/hello", &packaged), ("usr/bin/tampered", &unheard_of("as packaged")), ("usr/share/doc/hello", b"text")],
        )
        .with_file("usr/bin/tampered", &changed)
        .with_file("opt/foreign", &foreign)
        .with_file("opt/notes.txt", b"nothing that could run")
        .enrolled()
        .running();
    let scan = host.reference_scan(&site);
    assert_eq!(scan["package_trusted"], 1, "{scan}");
    assert_eq!(scan["unresolved"], 2, "{scan}");
    let _ = site.settled();
    assert!(site.file(&sha256(&packaged)).is_none(), "a file its package vouches for is settled on the host");
    assert_eq!(site.asked(&sha256(&packaged)), 0);
    assert_eq!(site.asked(&sha256(&foreign)), 1);
    let changed = site.file(&sha256(&changed)).unwrap();
    assert_eq!(changed["observations"][0]["evidence"]["package"]["fit"], "modified", "{changed}");
    // Executions are watched on the whole machine, so what other programs run may be listed too; scans see only the host's root.
    let scanned = site.allowlist().into_iter().filter(|row| row["sources"].to_string().contains("scan"));
    assert_eq!(scanned.count(), 2);
}

#[test]
fn a_second_scan_reports_nothing_twice_and_reads_nothing_again() {
    let site = Site::start();
    let host = site.host("web-1").with_file("opt/a", &unheard_of("a")).with_file("opt/b", &unheard_of("b")).enrolled().running();
    let first = host.reference_scan(&site);
    let _ = site.settled();
    let asked = site.ti().stats().hashes_asked;
    let second = host.reference_scan(&site);
    let _ = site.settled();
    assert_eq!((&first["unresolved"], &second["unresolved"]), (&2.into(), &2.into()));
    assert_eq!(site.ti().stats().hashes_asked, asked, "answers are cached");
    let file = site.file(&sha256(&unheard_of("a"))).unwrap();
    assert_eq!(file["observations"].as_array().unwrap().len(), 1, "{file}");
}

#[test]
fn any_bytes_are_a_name() {
    let site = Site::start();
    let names: [&[u8]; 5] = [b"new\nline", b"\x1b[31mred", b"\xff\xfe", "caf\u{e9} \u{202e}exe".as_bytes(), b"back\\slash and space "];
    let mut builder = site.host("web-1");
    for name in names {
        builder = builder.with_file([b"opt/", name].concat(), &unheard_of(&PathBytes::new(name).to_string()));
    }
    let host = builder.enrolled().running();
    assert_eq!(host.reference_scan(&site)["unresolved"], names.len());
    for name in names {
        let file = site.file(&sha256(&unheard_of(&PathBytes::new(name).to_string()))).expect("it was reported");
        let shown: PathBytes = file["observations"][0]["path"].as_str().unwrap().parse().expect("the escaped form parses back");
        assert_eq!(shown.file_name(), name);
    }
    let listing = site.ask(&["allowlist", "show", "default"]).unwrap().to_string();
    assert!(!listing.chars().any(|character| character.is_control()), "nothing shown steers a terminal");
}

#[test]
fn a_hostile_tree_is_scanned_to_its_end() {
    let site = Site::start();
    let builder = site.host("web-1").with_file("opt/tool", &unheard_of("tool")).with_file("opt/empty", b"");
    let opt = builder.root().join("opt");
    mkfifo(&opt.join("fifo"), Mode::from_bits_truncate(0o777)).unwrap();
    let _socket = UnixListener::bind(opt.join("socket")).unwrap();
    symlink("loop", opt.join("loop")).unwrap();
    symlink("..", opt.join("up")).unwrap();
    fs::create_dir_all(opt.join("deep").join("d/".repeat(200))).unwrap();
    let sparse = fs::File::create(opt.join("sparse")).unwrap();
    std::io::Write::write_all(&mut &sparse, b"\x7fELF").unwrap();
    sparse.set_len(5 << 30).unwrap();
    let long = std::ffi::OsStr::from_bytes(&[b'n'; 255]);
    fs::write(opt.join(long), unheard_of("long name")).unwrap();
    let host = builder.enrolled().running();
    let scan = host.reference_scan(&site);
    assert_eq!(scan["state"], "done", "{scan}");
    for name in ["tool", "long name"] {
        assert!(site.file(&sha256(&unheard_of(name))).is_some(), "{name} was reported");
    }
    assert_eq!(site.asked(&doorward_policy::Sha256::EMPTY), 0, "an empty file is never asked about");
}

#[test]
fn a_safe_file_is_allowed_and_an_unknown_one_waits_for_a_person() {
    let site = Site::start();
    let (safe, doubtful, unknown) = (unheard_of("safe"), unheard_of("trust factor 3"), unheard_of("unknown"));
    site.ti_says(&sha256(&safe), RecordStatus::Known, 2);
    site.ti_says(&sha256(&doubtful), RecordStatus::Known, 3);
    let host = site
        .host("web-1")
        .with_file("opt/safe", &safe)
        .with_file("opt/doubtful", &doubtful)
        .with_file("opt/unknown", &unknown)
        .enrolled()
        .running();
    let _ = host.reference_scan(&site);
    let _ = site.settled();
    assert_eq!(site.file_with_reason(&sha256(&safe), "known")["status"], "safe");
    assert_eq!(site.file_with_reason(&sha256(&doubtful), "known_untrusted")["status"], "unverified");
    assert_eq!(site.file_with_reason(&sha256(&unknown), "unknown")["status"], "unverified");
    let _ = site.ask(&["profile", "publish", "default"]);
    let _ = host.judged("opt/safe", "allowed_by_rule");
    assert_eq!(host.why("opt/doubtful")["judgement"]["verdict"], "undecided");
    assert_eq!(host.why("opt/unknown")["judgement"]["verdict"], "undecided");
}
