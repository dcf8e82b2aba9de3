//! dpkg's database as dpkg writes it, and each way a line of it can be wrong.

use std::borrow::Cow;
use std::fmt::Debug;

use doorward_formats::dpkg::{
    Conffiles, Diversions, Fault, Flag, List, Md5sums, MultiArch, Package, Problem, State, Status, UsrMerge, Want,
};

const LS: &str = "0c2a3b6f5f3dd2b1c5a4f2ee8d6d0a11";

const STATUS: &str = "\
Package: libc6
Status: install ok installed
Priority: optional
Installed-Size: 12986
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.36-9+deb12u10
Conffiles:
 /etc/ld.so.conf.d/x86_64-linux-gnu.conf d4e7a7b88a71b5ffd9e2644e71a0cfab
 /etc/with space.conf d4e7a7b88a71b5ffd9e2644e71a0cfab obsolete
 /etc/new.conf newconffile remove-on-upgrade
 /etc/gone.conf nonexistent obsolete remove-on-upgrade
Description: GNU C Library: Shared libraries
 Contains the standard libraries.
 .
 Package: not-a-field
Origin: Debian

Package: pkgconf
Status: hold reinstreq half-configured
Architecture: all
Version: 1:1.8.1-1~bpo+2

Package: old-thing
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: wished-for
Status: install ok not-installed
Priority: optional

Package: being-unpacked
Status: install ok half-installed
";

fn facts<T: Debug>(reader: impl Iterator<Item = Result<T, Problem>>) -> Vec<T> {
    reader.map(|item| item.expect("no problem")).collect()
}

fn problems<T>(reader: impl Iterator<Item = Result<T, Problem>>) -> Vec<(usize, Fault)> {
    reader.filter_map(Result::err).map(|problem| (problem.line, problem.fault)).collect()
}

#[test]
fn a_stanza_tells_what_trust_and_the_inventory_need() {
    let packages: Vec<Package<'_>> = facts(Status::new(STATUS.as_bytes()));
    let names: Vec<_> = packages.iter().map(|package| (package.name, package.version, package.architecture)).collect();
    assert_eq!(names, [("libc6", "2.36-9+deb12u10", "amd64"), ("pkgconf", "1:1.8.1-1~bpo+2", "all"), ("old-thing", "1.0", "amd64")]);
    let [libc, pkgconf, old] = packages.try_into().expect("three");
    assert_eq!((libc.want, libc.flag, libc.state), (Want::Install, Flag::Ok, State::Installed));
    assert_eq!((pkgconf.want, pkgconf.flag, pkgconf.state), (Want::Hold, Flag::ReinstallRequired, State::HalfConfigured));
    assert_eq!((old.want, old.flag, old.state), (Want::Deinstall, Flag::Ok, State::ConfigFiles));
    assert_eq!((libc.multi_arch, libc.info_stem()), (MultiArch::Same, "libc6:amd64".to_owned()));
    assert_eq!((pkgconf.multi_arch, pkgconf.info_stem()), (MultiArch::No, "pkgconf".to_owned()));
    assert_eq!(libc.maintainer, Some(&b"GNU Libc Maintainers <debian-glibc@lists.debian.org>"[..]));
    assert_eq!((libc.source, libc.origin), (Some(&b"glibc"[..]), Some(&b"Debian"[..])));
    assert_eq!((old.maintainer, old.source, old.origin), (None, None, None));
}

#[test]
fn recorded_conffiles_keep_their_marks() {
    let packages = facts(Status::new(STATUS.as_bytes()));
    let conffiles: Vec<_> = facts(packages[0].conffiles())
        .into_iter()
        .map(|file| (file.path.escape_ascii().to_string(), file.md5.is_some(), file.obsolete, file.remove_on_upgrade))
        .collect();
    assert_eq!(
        conffiles,
        [
            ("etc/ld.so.conf.d/x86_64-linux-gnu.conf".to_owned(), true, false, false),
            ("etc/with space.conf".to_owned(), true, true, false),
            ("etc/new.conf".to_owned(), false, false, true),
            ("etc/gone.conf".to_owned(), false, true, true),
        ]
    );
    assert_eq!(packages[1].conffiles().count(), 0);
}

#[test]
fn a_faulty_conffile_line_is_counted_with_its_place_in_the_file() {
    let text = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nConffiles:\n /etc/a 123\n etc/b -\n /etc/c -\n /../d -\n /e\n";
    let package = facts(Status::new(text.as_bytes())).remove(0);
    assert_eq!(
        problems(package.conffiles()),
        [(6, Fault::Digest), (7, Fault::PathNotAbsolute), (9, Fault::PathNotPlain), (10, Fault::Digest)]
    );
    let conffiles: Vec<_> = package.conffiles().filter_map(Result::ok).map(|file| file.path).collect();
    assert_eq!(conffiles, [b"etc/c"]);
}

#[test]
fn a_faulty_line_costs_itself_and_a_faulty_stanza_no_other() {
    let whole = "Status: install ok installed\nVersion: 1\nArchitecture: all\n";
    let text = format!(
        "Package: ../../etc/x\n{whole}\n\
         Package: a\nno colon here\n{whole}\n\
         {whole}\n\
         Package: b\nVersion: 1\nArchitecture: all\n\n\
         Package: c\nPackage: d\n{whole}\n\
         Package: e\nStatus: install ok gone\nVersion: 1\nArchitecture: all\n\n\
         Package: f\nStatus: install ok installed\nArchitecture: all\n\n\
         \x20 continues nothing\nPackage: g\n{whole}\n\
         Package: h\nMulti-Arch: sometimes\n{whole}\n\
         Package: i\nConffiles: /etc/x -\n{whole}\n\
         Package: j\n{whole}Maintainer: cut sh"
    );
    let status = Status::new(text.as_bytes());
    let names: Vec<_> = status.clone().filter_map(Result::ok).map(|package| package.name).collect();
    assert_eq!(names, ["a", "c", "g", "i", "j"]);
    let faults: Vec<_> = problems(status).into_iter().map(|(_, fault)| fault).collect();
    assert_eq!(
        faults,
        [
            Fault::FieldInvalid("Package"),
            Fault::NotAField,
            Fault::FieldMissing("Package"),
            Fault::FieldMissing("Status"),
            Fault::FieldTwice("Package"),
            Fault::FieldInvalid("Status"),
            Fault::FieldMissing("Version"),
            Fault::NotAField,
            Fault::FieldInvalid("Multi-Arch"),
            Fault::FieldInvalid("Conffiles"),
            Fault::CutShort,
        ]
    );
    let numbers: Vec<_> = problems(Status::new(text.as_bytes())).into_iter().map(|(line, _)| line).collect();
    assert_eq!(numbers[..3], [1, 7, 12]);
}

#[test]
fn names_that_could_leave_the_info_folder_are_refused() {
    for name in ["", "a/b", "..", ".a", "a b", "a\0b", "ä", "a:amd64", &"a".repeat(1025)] {
        let text = format!("Package: {name}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n");
        assert_eq!(problems(Status::new(text.as_bytes())), [(1, Fault::FieldInvalid("Package"))], "{name:?}");
    }
    for architecture in ["", "../x", "amd64/..", "-", "a.b"] {
        let text = format!("Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: {architecture}\n");
        assert_eq!(problems(Status::new(text.as_bytes())), [(4, Fault::FieldInvalid("Architecture"))], "{architecture:?}");
    }
}

#[test]
fn digests_keep_odd_names_as_they_are() {
    let text = [
        format!("{LS}  bin/ls\n").into_bytes(),
        format!("{}  lib/systemd/system/system-systemd\\x2dcryptsetup.slice\n", LS.to_uppercase()).into_bytes(),
        format!("{LS}  opt/two  spaces and a \n").into_bytes(),
        [LS.as_bytes(), b"  usr/share/\xff\xfe\x1b[2J\n"].concat(),
        format!("{LS}  ./usr/bin/x/\n").into_bytes(),
    ]
    .concat();
    let sums = facts(Md5sums::new(&text));
    let paths: Vec<_> = sums.iter().map(|sum| sum.path.escape_ascii().to_string()).collect();
    assert_eq!(
        paths,
        [
            "bin/ls",
            "lib/systemd/system/system-systemd\\\\x2dcryptsetup.slice",
            "opt/two  spaces and a ",
            "usr/share/\\xff\\xfe\\x1b[2J",
            "usr/bin/x"
        ]
    );
    assert!(sums.iter().all(|sum| sum.md5.to_string() == LS));
}

#[test]
fn faulty_digest_lines_are_counted() {
    let long = "x/".repeat(2048);
    let text = format!(
        "\n{LS}\n{LS} bin/ls\n{LS} *bin/ls\nzz{}  bin/ls\n{LS}  \n{LS}  ../etc/shadow\n{LS}  a/./b\n{LS}  a//b\n{LS}  a\0b\n{LS}  {long}x\n{LS}  good\n{LS}  cut",
        &LS[2..]
    );
    assert_eq!(
        problems(Md5sums::new(text.as_bytes())),
        [
            (1, Fault::Digest),
            (2, Fault::Separator),
            (3, Fault::Separator),
            (4, Fault::Separator),
            (5, Fault::Digest),
            (6, Fault::PathMissing),
            (7, Fault::PathNotPlain),
            (8, Fault::PathNotPlain),
            (9, Fault::PathNotPlain),
            (10, Fault::PathNotPlain),
            (11, Fault::PathTooLong),
            (13, Fault::CutShort),
        ]
    );
    assert_eq!(Md5sums::new(text.as_bytes()).filter_map(Result::ok).count(), 1);
}

#[test]
fn a_list_gives_relative_paths_without_the_root() {
    let text = b"/.\n/bin\n/bin/ls\n/usr/share/doc/\xe4\n\nrelative\n/a/../b\n/last";
    let paths: Vec<_> = List::new(text).filter_map(Result::ok).collect();
    assert_eq!(paths, [&b"bin"[..], b"bin/ls", b"usr/share/doc/\xe4"]);
    assert_eq!(
        problems(List::new(text)),
        [(5, Fault::PathNotAbsolute), (6, Fault::PathNotAbsolute), (7, Fault::PathNotPlain), (8, Fault::CutShort)]
    );
}

#[test]
fn declared_conffiles_may_ask_for_their_removal() {
    let text = b"/etc/a \n\nremove-on-upgrade /etc/b\nnonsense /etc/c\n/etc/d e\n";
    let conffiles: Vec<_> = Conffiles::new(text).filter_map(Result::ok).map(|file| (file.path, file.remove_on_upgrade)).collect();
    assert_eq!(conffiles, [(&b"etc/a"[..], false), (b"etc/b", true), (b"etc/d e", false)]);
    assert_eq!(problems(Conffiles::new(text)), [(4, Fault::Mark)]);
}

#[test]
fn diversions_say_whose_file_stays() {
    let text = b"/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/perf\n/usr/bin/perf.wrapper\n:\n";
    let diversions = facts(Diversions::new(text));
    assert_eq!((diversions[0].from, diversions[0].to, diversions[0].by), (&b"bin/sh"[..], &b"bin/sh.distrib"[..], Some(&b"dash"[..])));
    assert!(diversions[0].diverts("bash") && !diversions[0].diverts("dash"));
    assert_eq!(diversions[1].by, None);
    assert!(diversions[1].diverts("linux-perf"));
}

#[test]
fn a_lost_line_costs_one_diversion() {
    for (text, faulty_lines) in [
        (&b"/a\n/a.x\np\n/b\np\n/c\n/c.x\np\n"[..], &[4, 5][..]),
        (b"/a\n/a.x\np\n/b.x\n/b\n/c\n/c.x\np\n", &[4, 5]),
        (b"/a\n/a.x\np\n\n/c\n/c.x\np\n", &[4]),
        (b"/a\n/a.x\np\n/c\n/c.x\np\n/d\n/d.x", &[7, 8]),
        (b"/a\n/a.x\np\n/c\n/c.x\np\n/d\n/d.x\n", &[7, 8]),
        (b"/a\n/a.x\np\n/../b\n/b.x\np\n/c\n/c.x\np\n", &[4, 5, 6]),
    ] {
        let from: Vec<_> = Diversions::new(text).filter_map(Result::ok).map(|diversion| diversion.from).collect();
        assert_eq!(from, [b"a", b"c"], "{}", text.escape_ascii());
        let lines: Vec<_> = problems(Diversions::new(text)).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, faulty_lines, "{}", text.escape_ascii());
    }
}

#[test]
fn a_merged_usr_gives_every_file_one_name() {
    let merge = UsrMerge::of([&b"bin"[..], b"lib64", b"etc"]);
    assert_eq!(merge.canonical(b"bin/ls"), Cow::<[u8]>::Owned(b"usr/bin/ls".to_vec()));
    assert_eq!(&*merge.canonical(b"lib64/ld-linux-x86-64.so.2"), b"usr/lib64/ld-linux-x86-64.so.2");
    for unchanged in [&b"usr/bin/ls"[..], b"bin", b"lib/x", b"binary/x", b"etc/passwd", b"", b"/bin/ls"] {
        assert!(matches!(merge.canonical(unchanged), Cow::Borrowed(path) if path == unchanged));
    }
    assert_eq!(UsrMerge::default().canonical(b"bin/ls"), Cow::Borrowed(b"bin/ls"));
}

#[test]
fn problems_read_as_sentences() {
    let problem = Md5sums::new(b"x\n").next().expect("a line").expect_err("faulty");
    assert_eq!(problem.to_string(), "line 1: not an MD5 digest of 32 hexadecimal digits");
}
