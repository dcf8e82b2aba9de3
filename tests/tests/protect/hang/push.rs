//! A hundred thousand decisions are published while one user starts programs as fast as he can.

use std::fmt::Write;
use std::fs;
use std::thread;
use std::time::Duration;

use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually_within, sha256, unheard_of};
use nix::errno::Errno;

use super::holding;
use crate::{CANARY_LIMIT, minimal};

/// Files nobody has, all of them denied.
const PUSHED: u32 = 100_000;
/// Longest until the last of them is in force on the host.
const PUSH_LIMIT: Duration = Duration::from_secs(300);
/// A program of the user's that is allowed, before and after.
const OWN: &str = "/home/ann/own";
/// One that is allowed before and stands at the end of the list.
const PUSHED_PROGRAM: &str = "/home/ann/pushed";
/// Tells the storm that it is over.
const OVER: &str = "/tmp/over";
/// Most the agent ever takes meanwhile, in KiB: the policy before and after, and what is on its way to the disk.
const AGENT_KIB_MAX: u64 = 96 << 10;

/// The user's programs, again and again, until it is over; says how often they were started, and how often in vain.
fn storm() -> String {
    format!(
        "n=0; in_vain=0; until [ -e {OVER} ]; do {OWN} || in_vain=$((in_vain+1)); true || in_vain=$((in_vain+1)); n=$((n+2)); done; \
         echo $n $in_vain"
    )
}

fn list(last: &[u8]) -> String {
    let mut list = String::new();
    for number in 0..PUSHED - 1 {
        writeln!(list, "{}", sha256(format!("pushed {number}").as_bytes())).unwrap();
    }
    writeln!(list, "{}", sha256(last)).unwrap();
    list
}

/// The most memory a process ever had.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Pushes the list; the longest a packaged program took meanwhile.
fn push(lab: &Lab, site: &Site, agent: &LabAgent<'_>) -> Duration {
    let list = site.folder().join("list");
    let mut worst = Duration::ZERO;
    thread::scope(|scope| {
        let arguments = ["file", "deny", "--from", list.to_str().unwrap(), "--profile", "default", "--comment", "a long list"];
        let pushing = scope.spawn(move || site.cms_says(&arguments));
        let mut look = || {
            lab.canary_open().iter().for_each(|canary| assert!(canary.took.is_some_and(|took| took <= CANARY_LIMIT), "{canary:?}"));
            let canary = lab.canary_exec_as(1001);
            let took = canary.took.expect("a packaged program never waits for ever");
            assert!(took <= CANARY_LIMIT && canary.errno.is_none(), "{canary:?}");
            worst = worst.max(took);
        };
        while !pushing.is_finished() {
            look();
        }
        let report = pushing.join().unwrap();
        assert_eq!((report["decided"].as_u64(), report["refused_files"].as_array().map(Vec::len)), (Some(u64::from(PUSHED)), Some(0)));
        eventually_within(PUSH_LIMIT, "all of it is in force on the host", || {
            look();
            (agent.status()["policy"]["records"].as_u64() > Some(u64::from(PUSHED))).then_some(())
        });
    });
    worst
}

#[test]
fn a_policy_of_a_hundred_thousand_entries_during_a_storm_of_executions() {
    let Some(lab) = minimal() else { return };
    let mut site = Site::start();
    let (own, pushed) = (unheard_of("the user's own"), unheard_of("at the end of the list"));
    for (path, content) in [(OWN, &own), (PUSHED_PROGRAM, &pushed)] {
        lab.add_program(path, content);
        lab.must(&["chown", "1000:1000", path]);
    }
    let mut agent = holding(&lab, &site);
    agent.decided(&site, "allow", &sha256(&own), OWN);
    agent.decided(&site, "allow", &sha256(&pushed), PUSHED_PROGRAM);
    assert!(lab.spawn_as(1000, &[PUSHED_PROGRAM]).ended().success());
    fs::write(site.folder().join("list"), list(&pushed)).unwrap();

    let storm = lab.spawn_as(1000, &["sh", "-c", &storm()]);
    let worst = push(&lab, &site, &agent);
    lab.write(OVER, b"", "644");
    let ended = storm.ended();
    let (agent_kib, cms_kib) = (peak_kib(agent.pid()), peak_kib(site.cms().pid()));
    eprintln!(
        "the other user's worst start took {} ms; starts of the storm, and those in vain: {}; VmHWM of the agent {agent_kib} KiB, of the CMS \
         {cms_kib} KiB",
        worst.as_millis(),
        ended.stdout.trim()
    );
    assert!(ended.stdout.trim().ends_with(" 0"), "what is allowed starts, whatever is pushed: {ended:?}");
    assert!(agent_kib <= AGENT_KIB_MAX, "{agent_kib}");
    assert_eq!(lab.spawn_as(1000, &[PUSHED_PROGRAM]).ended().refusal(), Some(Errno::EPERM));

    // Believed anew from the disk alone: signature, count and root are those of the newest revision.
    let revision = site.cms_says(&["profile", "show", "default"])["revision"].as_u64().unwrap();
    site.kill();
    agent.kill();
    agent.run();
    eventually_within(PUSH_LIMIT, "the agent protects again", || agent.holds_executions().then_some(()));
    let policy = agent.status()["policy"].clone();
    assert_eq!((policy["revision"].as_u64(), policy["records"].as_u64()), (Some(revision), Some(u64::from(PUSHED) + 1)), "{policy}");
    assert_eq!(lab.spawn_as(1000, &[PUSHED_PROGRAM]).ended().refusal(), Some(Errno::EPERM));
    assert!(lab.spawn_as(1000, &[OWN]).ended().success());
    lab.assert_alive_within(CANARY_LIMIT);
}
