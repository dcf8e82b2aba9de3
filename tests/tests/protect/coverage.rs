//! What the marks reach: a denied program does not start, whichever way it is executed. Ways that are no execution of it are here too,
//! and what happens then; `bypass.rs` has those that no mark sees.

use std::path::Path;
use std::process::Command;

use doorward_tests::lab::passage::Passage;
use doorward_tests::lab::{Ended, Lab};
use doorward_tests::site::{Site, sha256};
use nix::errno::Errno;

use crate::bypass::{TOOL, denying};
use crate::{CANARY_LIMIT, minimal};

/// What a shell, or another program that starts programs, ends with when it was refused.
const CANNOT_EXECUTE: i32 = 126;

/// The loader of all programs of the lab.
pub(crate) const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Tries to execute the denied program; before, what is to be prepared before the agent starts.
fn tried(before: impl FnOnce(&Lab), attempt: impl FnOnce(&Lab) -> Ended) -> Option<Ended> {
    let lab = minimal()?;
    let site = Site::start();
    before(&lab);
    let (agent, _) = denying(&lab, &site, "sleep");
    let ended = attempt(&lab);
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
    Some(ended)
}

/// The attempt, from the lab's own processes, must be refused.
fn refused(attempt: impl FnOnce(&Lab) -> Ended) {
    refused_after(|_| (), attempt);
}

fn refused_after(before: impl FnOnce(&Lab), attempt: impl FnOnce(&Lab) -> Ended) {
    let Some(ended) = tried(before, attempt) else { return };
    assert_eq!(ended.refusal(), Some(Errno::EPERM), "{ended:?}");
}

/// The attempt, by a program of the lab, must be refused.
fn refused_to_a_program(attempt: impl FnOnce(&Lab) -> Ended) {
    let Some(ended) = tried(|_| (), attempt) else { return };
    assert_eq!(ended.status.code(), Some(CANNOT_EXECUTE), "{ended:?}");
    assert!(ended.stderr.contains("Operation not permitted"), "{ended:?}");
}

/// The attempt succeeds: nobody asks about it. `docs/THREAT_MODEL.md` says so under "What remains".
fn not_stopped(attempt: impl FnOnce(&Lab) -> Ended) {
    let Some(ended) = tried(|_| (), attempt) else { return };
    assert!(ended.success() && ended.stderr.is_empty(), "{ended:?}");
}

/// Lays one folder over another, both on the lab's disk; [`TOOL`] is in the lower one and seen at `/mnt/laid/tool`.
fn lay(lab: &Lab) {
    let script = "mkdir -p /var/upper /var/work /mnt/laid && \
                  mount -t overlay none -o lowerdir=/opt,upperdir=/var/upper,workdir=/var/work /mnt/laid && \
                  touch /mnt/laid/.canary";
    lab.must(&["sh", "-c", script]);
}

#[test]
fn through_a_bind_mount() {
    refused(|lab| {
        lab.must(&["sh", "-c", "mkdir /mnt/bound && mount --bind /opt /mnt/bound && touch /mnt/bound/.canary"]);
        lab.spawn_as(1000, &["/mnt/bound/tool", "0"]).ended()
    });
}

#[test]
fn from_another_mount_namespace() {
    refused_to_a_program(|lab| lab.run(&["unshare", "--mount", TOOL, "0"]));
}

#[test]
fn from_a_mount_namespace_of_a_user() {
    refused_to_a_program(|lab| lab.spawn_as(1000, &["unshare", "-Urm", TOOL, "0"]).ended());
}

#[test]
fn by_a_descriptor_that_is_open_by_name_only() {
    refused(|lab| lab.spawn_through(1000, Passage::Descriptor, "/home/ann", &[TOOL, "0"]).ended());
}

#[test]
fn from_a_copy_that_never_had_a_name() {
    for folder in ["/home/ann", "/tmp"] {
        refused(|lab| lab.spawn_through(1000, Passage::Unnamed, folder, &[TOOL, "0"]).ended());
    }
}

#[test]
fn from_a_copy_whose_name_is_gone() {
    for folder in ["/home/ann", "/tmp"] {
        refused(|lab| lab.spawn_through(1000, Passage::Unlinked, folder, &[TOOL, "0"]).ended());
    }
}

#[test]
fn to_be_asked_whether_it_may_be_executed() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let asked = |program| lab.spawn_through(1000, Passage::Check, "/home/ann", &[program]).ended();
    let before = asked("/usr/bin/true");
    if before.refusal() == Some(Errno::EINVAL) {
        return eprintln!("SKIPPED: this kernel cannot be asked whether it would execute");
    }
    assert!(before.success(), "{before:?}");
    let (_agent, _) = denying(&lab, &site, "sleep");
    assert_eq!(asked(TOOL).refusal(), Some(Errno::EPERM));
    assert!(asked("/usr/bin/true").success());
}

#[test]
fn on_layers_laid_before_the_agent_started() {
    refused_after(lay, |lab| lab.spawn_as(1000, &["/mnt/laid/tool", "0"]).ended());
}

#[test]
fn on_layers_laid_after_the_agent_started() {
    refused(|lab| {
        lay(lab);
        lab.spawn_as(1000, &["/mnt/laid/tool", "0"]).ended()
    });
}

#[test]
fn a_copy_in_the_upper_layer() {
    refused(|lab| {
        lay(lab);
        lab.must(&["cp", TOOL, "/mnt/laid/copied"]);
        lab.spawn_as(1000, &["/mnt/laid/copied", "0"]).ended()
    });
}

#[test]
fn on_layers_laid_in_a_mount_namespace_of_their_own() {
    refused_to_a_program(|lab| {
        let script = "mkdir -p /var/upper /var/work && \
                      mount -t overlay none -o lowerdir=/opt,upperdir=/var/upper,workdir=/var/work /mnt && exec unshare /mnt/tool 0";
        lab.run(&["unshare", "--mount", "sh", "-c", script])
    });
}

#[test]
fn the_file_below_layers() {
    refused_after(lay, |lab| lab.spawn_as(1000, &[TOOL, "0"]).ended());
}

/// Starts a script that nobody may run.
fn script(attempt: &[&str]) -> Option<Ended> {
    let lab = minimal()?;
    let site = Site::start();
    let content = b"#!/bin/sh\n# denied\necho it ran\n";
    lab.add_program("/opt/script", content);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "allow");
    agent.decided(&site, "deny", &sha256(content), "/opt/script");
    Some(lab.spawn_as(1000, attempt).ended())
}

#[test]
fn a_script_by_its_first_line() {
    let Some(ended) = script(&["/opt/script"]) else { return };
    assert_eq!(ended.refusal(), Some(Errno::EPERM), "{ended:?}");
}

#[test]
fn as_the_interpreter_of_a_script() {
    refused(|lab| {
        lab.add_program("/opt/script", format!("#!{TOOL} 0\n").as_bytes());
        lab.spawn_as(1000, &["/opt/script"]).ended()
    });
}

#[test]
fn a_script_handed_to_its_interpreter_is_not_stopped() {
    let Some(ended) = script(&["sh", "/opt/script"]) else { return };
    assert_eq!((ended.success(), ended.stdout.as_str()), (true, "it ran\n"), "{ended:?}");
}

#[test]
fn a_program_handed_to_the_loader_is_not_stopped() {
    not_stopped(|lab| lab.spawn_as(1000, &[LOADER, TOOL, "0"]).ended());
}

#[test]
fn a_library_loaded_by_an_allowed_program_is_not_stopped() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let library = c_library();
    lab.add_program("/opt/library.so", &library);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "allow");
    agent.decided(&site, "deny", &sha256(&library), "/opt/library.so");
    let loaded = "LD_PRELOAD=/opt/library.so exec cat /proc/self/maps";
    let ended = lab.spawn_as(1000, &["sh", "-c", loaded]).ended();
    assert!(ended.success() && ended.stdout.contains("/opt/library.so"), "{ended:?}");
}

/// The machine's C library with a few bytes behind it, so that nobody knows it.
pub(crate) fn c_library() -> Vec<u8> {
    let printed = Command::new("ldd").arg("/bin/true").output().unwrap().stdout;
    let printed = String::from_utf8(printed).unwrap();
    let path = printed.split_whitespace().find(|word| word.starts_with('/') && word.contains("libc.so")).unwrap();
    let mut bytes = std::fs::read(Path::new(path)).unwrap();
    bytes.extend_from_slice(b"\0doorward test library");
    bytes
}
