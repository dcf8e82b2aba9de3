//! Judging on a host of its own, with a package that owns one program.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use doorward_policy::{DigestAlgorithm, Fit, Row};
use doorward_service::Clock;

use super::*;
use crate::identify::{Identifier, IdentityStore, Limits};
use crate::system::entropy;

/// A root with the package `tools`, which owns `/usr/bin/packaged`.
pub(crate) struct TestRoot {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) identifier: Identifier,
    pub(crate) judge: Judge,
}

impl TestRoot {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        fs::create_dir_all(path.join("usr/bin")).unwrap();
        fs::write(path.join("usr/bin/packaged"), "#!/bin/sh\nexit 0\n").unwrap();
        write_package_database(&path);
        let (trust, problems) = Trust::open(&path);
        assert!(problems.is_empty(), "{problems:?}");
        let root = PathBytes::new(path.as_os_str().as_bytes());
        let identifier = Identifier::new(Arc::new(IdentityStore::in_memory(entropy::fill)), Clock::system(), Limits::default());
        let judge = Judge::new(Arc::new(Lists::unenrolled()), Arc::new(trust), Arc::default(), root);
        Self { _folder: folder, path, identifier, judge }
    }

    pub(crate) fn identified(&self, name: &str) -> Identified {
        let path = self.path.join(name);
        self.identifier.file(&File::open(path).unwrap(), name.as_bytes(), Some(DigestAlgorithm::Md5), &|| false).unwrap().unwrap()
    }

    /// Changes something that bears on every file.
    pub(crate) fn turn_over(&self) {
        self.settings(|_| ());
    }

    /// Changes settings.
    pub(crate) fn settings(&self, change: impl FnOnce(&mut doorward_proto::uplink::HostSettings)) {
        let lists = self.judge.lists();
        let mut settings = doorward_proto::uplink::HostSettings::clone(&lists.settings());
        settings.revision += 1;
        change(&mut settings);
        lists.take_settings(settings).unwrap().unwrap();
    }

    fn judged(&self, name: &str) -> Judged {
        let file = self.identified(name);
        let path = PathBytes::new(self.path.join(name).as_os_str().as_bytes());
        let evidence = self.judge.evidence(Some(&path), &file.digests);
        self.judge.judge(&file.digests.sha256, &file.identity, &evidence)
    }
}

fn write_package_database(root: &Path) {
    let info = root.join("var/lib/dpkg/info");
    fs::create_dir_all(&info).unwrap();
    let status = "Package: tools\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n\
                  Version: 1.0-1\nDescription: tools for tests\n\n";
    fs::write(root.join("var/lib/dpkg/status"), status).unwrap();
    fs::write(info.join("tools.list"), "/.\n/usr\n/usr/bin\n/usr/bin/packaged\n").unwrap();
    // MD5 of "#!/bin/sh\nexit 0\n".
    fs::write(info.join("tools.md5sums"), "MD5SUM  usr/bin/packaged\n".replace("MD5SUM", MD5_OF_PACKAGED)).unwrap();
}

const MD5_OF_PACKAGED: &str = "33e4fd94e2560e008e2c3b431d0e3419";

#[test]
fn a_packages_own_file_is_allowed_by_it() {
    let root = TestRoot::new();
    let judged = root.judged("usr/bin/packaged");
    assert_eq!(judged.judgement.row, Row::Package);
    assert!(!judged.is_bad());
}

#[test]
fn the_same_content_elsewhere_earns_nothing() {
    let root = TestRoot::new();
    fs::copy(root.path.join("usr/bin/packaged"), root.path.join("usr/bin/copy")).unwrap();
    assert_eq!(root.judged("usr/bin/copy").judgement.row, Row::Nothing);
}

#[test]
fn a_changed_file_of_a_package_is_told_as_modified() {
    let root = TestRoot::new();
    fs::write(root.path.join("usr/bin/packaged"), "#!/bin/sh\nexit 1\n").unwrap();
    let judged = root.judged("usr/bin/packaged");
    assert_eq!(judged.judgement.row, Row::Nothing);
    assert_eq!(judged.subject.facts.package.unwrap().evidence.fit, Fit::Modified);
}

#[test]
fn a_path_outside_the_root_or_none_at_all_earns_nothing() {
    let root = TestRoot::new();
    let file = root.identified("usr/bin/packaged");
    let outside = PathBytes::new(*b"/usr/bin/packaged");
    for path in [Some(&outside), None] {
        assert!(root.judge.evidence(path, &file.digests).package.is_none(), "{path:?}");
    }
    assert!(root.judge.wanted_digest(&outside).is_none());
    let inside = PathBytes::new(root.path.join("usr/bin/packaged").as_os_str().as_bytes());
    assert_eq!(root.judge.wanted_digest(&inside), Some(DigestAlgorithm::Md5));
}

#[test]
fn the_closure_holds_this_very_program_its_loader_and_what_shells_need() {
    let root = TestRoot::new();
    let closure = Closure::default();
    closure.find(&root.identifier, Path::new("/"));
    let claim = |path: &Path| {
        let file = File::open(path).unwrap();
        closure.claim(&root.identifier.file(&file, b"", None, &|| false).unwrap().unwrap().identity)
    };
    assert_eq!(claim(Path::new("/proc/self/exe")), ClosureClaim::Member);
    assert_eq!(claim(Path::new("/bin/sh")), ClosureClaim::Boot);
    let members = closure.members();
    let named = |name: &str| members.iter().find(|member| member.path.file_name().starts_with(name.as_bytes()));
    let library = named("libc.so.6").expect("the C library is needed");
    assert_eq!(claim(Path::new(OsStr::from_bytes(library.path.as_bytes()))), ClosureClaim::Boot);
    assert!(named("ld-linux").is_some(), "{members:?}");
    assert_eq!(closure.claim(&root.identified("usr/bin/packaged").identity), ClosureClaim::Outside);
    assert!(members.len() < 400, "the wider closure is no whole system: {}", members.len());
}
