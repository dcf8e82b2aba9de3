//! An unknown program waits for a verdict, for at most one deadline, and all who wait for it share one judgement.

use std::time::Duration;

use doorward_tests::lab::Task;
use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use doorward_tests::ti::RecordStatus;
use nix::errno::Errno;

use crate::{CANARY_LIMIT, minimal};

/// Longest an execution waits for whatever is unknown of it.
const HOLD_DEADLINE: Duration = Duration::from_secs(2);
/// On top of a deadline, for a busy machine and entering the lab.
const SLACK: Duration = Duration::from_millis(1500);
/// Starts of one program at a time.
const STARTS: usize = 24;
/// Starts of one program, one after the other.
const REPEATED: u32 = 100;
/// How often it may take that long until the kernel is quiet about the program.
const ATTEMPTS: usize = 10;

#[test]
fn a_verdict_within_the_deadline_lets_it_start() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let tool = unheard_of("known to be good");
    site.ti_says(&sha256(&tool), RecordStatus::Known, 0);
    let agent = lab.agent(&site);
    agent.protects(&site, "hold");
    lab.add_program("/opt/tool", &tool);
    let ended = lab.run(&["/opt/tool"]);
    assert!(ended.success(), "the provider says it is safe, and safe files are allowed: {ended:?}");
    assert!(ended.took < HOLD_DEADLINE, "{ended:?}");
    assert_eq!(site.asked(&sha256(&tool)), 1);
}

#[test]
fn a_person_who_allows_it_in_time_releases_it() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let tool = unheard_of("a person knows it");
    let agent = lab.agent(&site);
    agent.protects(&site, "hold");
    lab.add_program("/opt/tool", &tool);
    let digest = sha256(&tool).to_string();
    let mut waiting = lab.spawn_as(1000, &["/opt/tool"]);
    // The CMS must have heard of the file before anybody can decide about it.
    eventually("a person can allow it", || site.ask(&["file", "allow", &digest, "--profile", "default"]).ok());
    let ended = waiting.within(HOLD_DEADLINE + SLACK).expect("it does not wait past its deadline");
    assert!(ended.success(), "{ended:?}");
}

#[test]
fn nobody_answers_and_the_deadline_denies() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "hold");
    lab.add_program("/opt/tool", &unheard_of("nobody knows it"));
    let ended = lab.run(&["/opt/tool"]);
    assert_eq!(ended.refusal(), Some(Errno::EPERM), "{ended:?}");
    assert!(ended.took < HOLD_DEADLINE + SLACK, "{ended:?}");
    lab.assert_alive_within(CANARY_LIMIT);
}

#[test]
fn what_is_known_never_waits_for_what_is_not() {
    let Some(lab) = minimal() else { return };
    let mut site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "hold");
    lab.add_programs("/opt/many", &unheard_of("many"), 8);
    site.kill();
    let waiting: Vec<_> = (0..8).map(|number| lab.spawn_as(1000, &[format!("/opt/many/{number}")])).collect();
    lab.assert_alive_within(CANARY_LIMIT);
    for process in waiting {
        assert_eq!(process.ended().refusal(), Some(Errno::EPERM));
    }
}

#[test]
fn many_starts_of_one_unknown_file_share_one_judgement() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let tool = unheard_of("started by many");
    site.ti_says(&sha256(&tool), RecordStatus::Known, 0);
    let agent = lab.agent(&site);
    agent.protects(&site, "hold");
    lab.add_program("/opt/tool", &tool);
    let starts: Vec<_> = (0..STARTS).map(|number| lab.spawn_as(if number % 2 == 0 { 1000 } else { 1001 }, &["/opt/tool"])).collect();
    for start in starts {
        let ended = start.ended();
        assert!(ended.success(), "{ended:?}, {}", agent.status());
    }
    assert_eq!(site.asked(&sha256(&tool)), 1, "one look-up for all of them");
}

#[test]
fn a_system_program_started_again_is_not_looked_at_again() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    let seen = || agent.status()["executions"]["seen"].as_u64().expect("a number");
    // Its marks are young, and the second sensor looks closer at what runs there: all the more must it pass over what is known.
    let looked_at: Vec<_> = (0..ATTEMPTS)
        .map(|_| {
            let before = seen();
            let _ = lab.repeat(1000, Task::Start, REPEATED, &["/usr/bin/true"]);
            seen() - before
        })
        .collect();
    assert!(looked_at.iter().any(|looked_at| *looked_at < u64::from(REPEATED) / 2), "{looked_at:?}");
}
