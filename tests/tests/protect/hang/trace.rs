//! Somebody attaches to one thread of the agent and stops it there.

use doorward_tests::lab::LabAgent;
use doorward_tests::site::{Site, eventually_within, unheard_of};

use super::{GUARD_PERIOD, HOLD_LIMIT, holding};
use crate::{CANARY_LIMIT, minimal};

/// The youngest of the agent's threads with this name: a watch that was replaced a moment ago may still have one.
fn thread(agent: &LabAgent<'_>, name: &str) -> i32 {
    *agent.threads(name).iter().max().expect("the agent has such a thread")
}

/// With this thread stopped the others go on answering, what is known and what is not.
fn others_go_on(name: &str) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    let _stopped = lab.stopped_thread(thread(&agent, name));
    lab.add_programs("/opt/unknown", &unheard_of("started while a thread stands still"), 4);
    let waiting: Vec<_> = (0..4).map(|number| lab.spawn_as(1000, &[format!("/opt/unknown/{number}")])).collect();
    for _ in 0..5 {
        lab.assert_alive_within(CANARY_LIMIT);
    }
    for mut process in waiting {
        let ended = process.within(HOLD_LIMIT).expect("nobody waits past the deadline");
        assert!(ended.refusal().is_some(), "{ended:?}");
    }
    assert!(agent.is_running() && agent.holds_executions(), "{}", agent.log());
}

/// With this thread stopped the guard ends the agent.
fn the_guard_ends_it(name: &str) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    let _stopped = lab.stopped_thread(thread(&agent, name));
    lab.assert_alive_within(GUARD_PERIOD + CANARY_LIMIT * 2);
    eventually_within(GUARD_PERIOD + CANARY_LIMIT * 2, "the guard has killed it", || (!agent.is_running()).then_some(()));
    lab.assert_alive_within(CANARY_LIMIT);
}

#[test]
fn a_traced_witness() {
    others_go_on("exec-witness");
}

#[test]
fn a_traced_worker() {
    others_go_on("exec-worker");
}

#[test]
fn a_traced_recorder() {
    others_go_on("exec-record");
}

#[test]
fn a_traced_reader() {
    the_guard_ends_it("exec-reader");
}

#[test]
fn a_traced_deadline() {
    the_guard_ends_it("exec-deadline");
}
