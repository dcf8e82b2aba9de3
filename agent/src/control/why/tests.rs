//! Questions about all kinds of things, asked with an open descriptor as a stranger would.

use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use doorward_policy::{Fit, Row, Status};
use doorward_proto::uplink::VerdictDecision;

use super::*;
use crate::exec::mount::MOUNTINFO;
use crate::judge::tests::TestRoot;

fn ask(root: &TestRoot, file: &File, path: &str) -> Result<Why, WhyError> {
    ask_with(root, file, path, &|_| None)
}

fn ask_with(root: &TestRoot, file: &File, path: &str, verdict: &dyn Fn(&Sha256) -> Option<Verdict>) -> Result<Why, WhyError> {
    let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap();
    let asked = Asked {
        judge: &root.judge,
        identifier: &root.identifier,
        mounts: &mounts,
        caller: None,
        verdict,
        now: 0,
        offline: false,
        stop: &|| false,
    };
    asked.why(file, &PathBytes::new(path))
}

#[test]
fn a_packaged_program_is_explained_by_its_proven_path() {
    let root = TestRoot::new();
    let path = root.path.join("usr/bin/packaged");
    let why = ask(&root, &File::open(&path).unwrap(), "some/alias").unwrap();
    assert_eq!(why.path, PathBytes::new(path.as_os_str().as_bytes()));
    assert_eq!(why.judgement.unwrap().row, Row::Package);
    assert_eq!(why.response, Some(Response::Allow));
    assert_eq!(why.evidence.clone().unwrap().package.unwrap().fit, Fit::Match);
    let text = why.to_string();
    assert!(text.contains("may run: package tools 1.0-1 lists exactly this digest"), "{text}");
    let json = serde_json::to_value(&why).unwrap();
    assert_eq!((json["kind"].as_str(), json["judgement"]["verdict"].as_str()), (Some("script"), Some("allow")));
}

#[test]
fn a_verdict_of_the_cms_shows_in_the_status() {
    let root = TestRoot::new();
    fs::write(root.path.join("tool"), "#!/bin/sh\n").unwrap();
    let verdict = |file: &Sha256| {
        Some(Verdict {
            file: *file,
            status: Status::Threat,
            reason: "malicious".into(),
            decision: VerdictDecision::Undecided,
            threat_score: Some(9),
            threat_name: Some("Linux.Test\u{1b}[31m".into()),
            is_final: true,
            change_id: 1,
        })
    };
    let why = ask_with(&root, &File::open(root.path.join("tool")).unwrap(), "tool", &verdict).unwrap();
    assert_eq!((why.judgement.unwrap().row, why.threat_score), (Row::Threat, Some(9)));
    let text = why.to_string();
    assert!(text.contains("threat (malicious), threat score 9 of 10, Linux.Test"), "{text}");
    assert!(!text.contains('\u{1b}'), "a name never steers a terminal");
}

#[test]
fn what_is_never_run_is_said_in_a_sentence() {
    let root = TestRoot::new();
    fs::write(root.path.join("notes.txt"), "nothing to run").unwrap();
    let why = ask(&root, &File::open(root.path.join("notes.txt")).unwrap(), "notes.txt").unwrap();
    assert_eq!((why.kind, why.sha256, why.size), (None, None, 14));
    assert!(why.to_string().contains("never judged"));
    assert!(serde_json::to_value(&why).unwrap()["kind"].is_null());
}

#[test]
fn what_is_no_regular_file_is_refused_by_name() {
    let root = TestRoot::new();
    let fifo = root.path.join("fifo");
    nix::unistd::mkfifo(&fifo, Permissions::S_IRWXU).unwrap();
    let fifo = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(fifo).unwrap();
    let folder = File::open(&root.path).unwrap();
    for (file, what) in [(fifo, "a FIFO"), (folder, "a folder"), (File::open("/dev/null").unwrap(), "a device")] {
        let error = ask(&root, &file, "/it\n").unwrap_err().to_string();
        assert_eq!(error, format!("/it\\n is {what}: only regular files are executed"));
    }
}

#[test]
fn descriptors_that_lie_on_no_mount_are_refused() {
    let root = TestRoot::new();
    let (socket, _other) = UnixStream::pair().unwrap();
    let memfd = nix::sys::memfd::memfd_create("x", nix::sys::memfd::MFdFlags::empty()).unwrap();
    for file in [File::from(OwnedFd::from(socket)), File::from(memfd)] {
        assert!(matches!(ask(&root, &file, "it"), Err(WhyError::Remote(..))));
    }
    let proc = File::open("/proc/self/status").unwrap();
    assert!(matches!(ask(&root, &proc, "it"), Err(WhyError::Remote(..))));
}

#[test]
fn nothing_is_read_that_the_caller_could_not_read() {
    let root = TestRoot::new();
    let path = root.path.join("usr/bin/packaged");
    let write_only = OpenOptions::new().write(true).open(&path).unwrap();
    let by_name = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path).unwrap();
    for file in [write_only, by_name] {
        assert!(matches!(ask(&root, &file, "it"), Err(WhyError::NotReadable(_))));
    }
}

#[test]
fn a_deleted_file_is_judged_without_its_package() {
    let root = TestRoot::new();
    let path = root.path.join("usr/bin/packaged");
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let why = ask(&root, &file, "it").unwrap();
    assert_eq!(why.judgement.unwrap().row, Row::Nothing);
    assert!(why.sentence.contains("no path leads to it"), "{}", why.sentence);
}
