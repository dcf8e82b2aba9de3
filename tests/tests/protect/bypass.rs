//! Where no mark can reach: what is denied is ended soon after it has begun, with an incident, and nothing else is touched.

use std::time::Duration;

use doorward_policy::Sha256;
use doorward_tests::lab::passage::Passage;
use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{copy_of, minimal, rounds};

/// Where everybody finds the program that is denied.
pub(crate) const TOOL: &str = "/opt/tool";
/// Longest from the start of what is denied to its end.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(10);
/// Starts on file systems that were mounted that very moment, in long rounds.
const FRESH_MOUNTS: u32 = 400;

/// An agent in protect that knows [`TOOL`], this copy of a program, as denied and otherwise lets everything run.
pub(crate) fn denying<'a>(lab: &'a Lab, site: &Site, program: &str) -> (LabAgent<'a>, Sha256) {
    let tool = copy_of(program, "denied wherever it runs");
    lab.add_program(TOOL, &tool);
    let agent = lab.agent(site);
    let _ = agent.reference_scan(site);
    agent.protects(site, "allow");
    agent.decided(site, "deny", &sha256(&tool), TOOL);
    (agent, sha256(&tool))
}

/// The incident about an execution that was ended after it had begun.
fn ended_late(site: &Site, file: &Sha256) -> Value {
    eventually("the incident says that it was killed", || {
        let incident = site.incident("threat_executed", file);
        let shown = site.cms_says(&["incident", "show", incident["id"].as_str()?]);
        (shown["detail"]["fate"] == "killed").then_some(shown)
    })
}

#[test]
fn a_mount_in_a_user_namespace() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (_agent, tool) = denying(&lab, &site, "sleep");
    let script = format!("mount -t tmpfs none /mnt && cp {TOOL} /mnt/tool && exec /mnt/tool 600");
    let ended = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", &script]).ended_within(END_LIMIT);
    assert_eq!(ended.signal(), Some(Signal::SIGKILL as i32), "{ended:?}");
    let incident = ended_late(&site, &tool);
    assert!(incident["detail"]["path"].as_str().is_some_and(|path| path.starts_with("(elsewhere)")), "{incident}");
}

#[test]
fn what_was_met_once_in_a_namespace_does_not_start_there_again() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (_agent, _) = denying(&lab, &site, "sleep");
    // The shell lives on, and with it the file system that got a mark when the tool was met on it.
    let script = format!(
        "mount -t tmpfs none /mnt && cp {TOOL} /mnt/tool && /mnt/tool 600; n=0; until [ $n -ge 500 ]; do /mnt/tool 0; \
         [ $? -eq 126 ] && exit 42; n=$((n + 1)); sleep 0.01; done"
    );
    let ended = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", &script]).ended_within(4 * END_LIMIT);
    assert_eq!(ended.status.code(), Some(42), "{ended:?}");
}

#[test]
fn a_program_in_memory() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (_agent, tool) = denying(&lab, &site, "sleep");
    let ended = lab.spawn_through(1000, Passage::Memory, "/home/ann", &[TOOL, "600"]).ended_within(END_LIMIT);
    assert_eq!(ended.signal(), Some(Signal::SIGKILL as i32), "{ended:?}");
    let _ = ended_late(&site, &tool);
}

#[test]
fn children_left_behind_by_a_parent_that_is_gone() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (_agent, tool) = denying(&lab, &site, "dash");
    // The parent is gone long before anybody can look at it; each child runs the same file, and nothing is told of that.
    let script = format!(
        "mount -t tmpfs none /mnt && cp {TOOL} /mnt/tool && for i in 1 2 3 4 5 6 7 8; do \
         /mnt/tool -c '(while :; do sleep 0.2; done) & exit'; done; sleep 600"
    );
    let mut stays = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", &script]);
    // The first that was told of may have been a parent, which ended by itself.
    let _ = site.incident("threat_executed", &tool);
    eventually("no process runs the tool any more", || (lab.processes_of("/mnt/tool") == 0).then_some(()));
    assert!(stays.within(Duration::ZERO).is_none(), "whoever started it is not to blame");
}

#[test]
fn a_file_system_mounted_this_very_moment() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (_agent, _) = denying(&lab, &site, "sleep");
    let rounds = rounds(FRESH_MOUNTS);
    let script = format!(
        "i=0; while [ $i -lt {rounds} ]; do mkdir /mnt/$i && mount -t tmpfs none /mnt/$i && cp {TOOL} /mnt/$i/tool || exit 3; \
         /mnt/$i/tool 5; code=$?; umount -l /mnt/$i; case $code in 126|137) ;; *) exit 4;; esac; i=$((i + 1)); done"
    );
    let ended = lab.spawn(&["sh", "-c", &script]).ended_within(Duration::from_secs(120));
    assert!(ended.success(), "denied or killed, every time: {ended:?}");
}

#[test]
fn what_nobody_denied_may_run_in_a_user_namespace() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "allow");
    lab.add_program(TOOL, &unheard_of("nobody denied it"));
    let script = format!("mount -t tmpfs none /mnt && cp {TOOL} /mnt/tool && exec /mnt/tool");
    let ended = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", &script]).ended();
    assert!(ended.success(), "{ended:?}");
}

#[test]
fn what_nobody_knows_is_ended_in_a_user_namespace_where_only_the_known_may_run() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    lab.add_program(TOOL, &copy_of("sleep", "nobody knows it"));
    agent.protects(&site, "deny");
    let script = format!("mount -t tmpfs none /mnt && cp {TOOL} /mnt/tool && cp /bin/sleep /mnt/sleep && /mnt/tool 600; exit $?");
    let ended = lab.spawn_as(1000, &["unshare", "-Urm", "sh", "-c", &script]).ended_within(END_LIMIT);
    assert_eq!(ended.status.code(), Some(128 + Signal::SIGKILL as i32), "{ended:?}");
}
