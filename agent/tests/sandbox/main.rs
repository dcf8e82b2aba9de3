//! The real helper of the real program, as its host sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use doorward_agent::health::Health;
use doorward_agent::sandbox::{Facts, HELPERS, Question, Sandbox, Setup};
use doorward_policy::FileKind;
use nix::unistd::Uid;

/// For what has to succeed, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Questions of a measurement.
const MEASURED: u32 = 2_000;

fn sandbox() -> Sandbox {
    let setup = Setup { program: PathBuf::from(env!("CARGO_BIN_EXE_doorward-agent")), ..Setup::default() };
    Sandbox::start_with(setup, Health::default())
}

fn script() -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"#!/bin/sh\nexit 0\n").unwrap();
    file
}

fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
}

#[test]
fn the_real_helper_answers_and_holds_nothing() {
    let sandbox = sandbox();
    assert_eq!(sandbox.ask(Question::Kind, &script(), PATIENCE), Ok(Facts::Kind(Some(FileKind::Script))));
    let standing = sandbox.standing();
    assert_eq!(standing.helpers as usize, HELPERS);
    if !standing.missing.is_empty() || !Uid::effective().is_root() {
        return eprintln!("SKIPPED: what a helper holds, because not every wall can be put up here: {standing}");
    }
    assert_eq!(standing.to_string(), format!("{HELPERS} helpers"));
    let pids = standing.pids;
    assert_eq!(pids.len(), HELPERS);
    for pid in pids {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let user = (1_900_000_000 + pid).to_string();
        assert_eq!(field(&status, "Uid").split_whitespace().collect::<Vec<_>>(), [&user[..]; 4]);
        assert_eq!(field(&status, "Gid").split_whitespace().collect::<Vec<_>>(), [&user[..]; 4]);
        assert_eq!(field(&status, "Groups"), "");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(field(&status, set), "0000000000000000", "{set}");
        }
        assert_eq!(
            (field(&status, "NoNewPrivs"), field(&status, "Seccomp"), field(&status, "Threads")),
            ("1".into(), "2".into(), "1".into())
        );
        let open: Vec<_> = fs::read_dir(process.join("fd")).unwrap().map(|entry| fs::read_link(entry.unwrap().path()).unwrap()).collect();
        assert!(matches!(&open[..], [only] if only.to_string_lossy().starts_with("socket:")), "{open:?}");
        assert!(fs::read(process.join("environ")).unwrap().is_empty());
        for space in ["mnt", "net", "ipc", "uts"] {
            let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{space}")).unwrap();
            assert_ne!(of(&pid.to_string()), of("self"), "{space}");
        }
        let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
        assert_eq!(mounts.lines().count(), 1, "an empty file system and no other: {mounts}");
        assert_eq!(fs::read_to_string(process.join("oom_score_adj")).unwrap().trim(), "1000");
    }
}

#[test]
fn what_the_real_helper_never_read_is_no_evidence() {
    let sandbox = sandbox();
    for pid in sandbox.standing().pids {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGSTOP).unwrap();
    }
    let started = Instant::now();
    let facts = sandbox.ask(Question::Kind, &script(), Duration::from_millis(200));
    assert_eq!(facts.unwrap_err().to_string(), "the sandboxed helper did not answer in time");
    assert!(started.elapsed() < PATIENCE);
    // Each that stands still is ended by the question it did not answer, and replaced.
    while sandbox.ask(Question::Kind, &script(), Duration::from_millis(200)) != Ok(Facts::Kind(Some(FileKind::Script))) {
        assert!(started.elapsed() < PATIENCE);
    }
}

/// Prints a figure and holds no time: what a question costs beside asking the same function here.
#[test]
fn a_question_costs_a_round_trip() {
    let (sandbox, file) = (sandbox(), script());
    let started = Instant::now();
    for _ in 0..MEASURED {
        sandbox.ask(Question::Kind, &file, PATIENCE).unwrap();
    }
    let asked = started.elapsed() / MEASURED;
    let started = Instant::now();
    for _ in 0..MEASURED {
        doorward_formats::Kind::of_file(&mut &file).unwrap();
    }
    eprintln!("a question: {asked:?}, the parser itself: {:?}", started.elapsed() / MEASURED);
}

#[test]
fn a_helper_started_by_hand_says_what_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward-agent")).arg("sandbox").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "EX_USAGE");
    assert!(String::from_utf8_lossy(&output.stderr).contains("started by the agent"), "{output:?}");
}
