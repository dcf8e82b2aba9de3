//! Whatever happens to the agent or the CMS, canaries on every filesystem of the lab come to their end in time.

use std::time::Duration;

use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually_within, unheard_of};
use nix::sys::signal::Signal;

use crate::{CANARY_LIMIT, minimal};

mod cms;
mod descriptors;
mod freeze;
mod full_disk;
mod fuse;
mod log;
mod push;
mod storm;
mod trace;

/// A stopped agent is killed by its guard after this.
const GUARD_PERIOD: Duration = Duration::from_secs(5);
/// Longest an execution waits for whatever is unknown of it, and a busy machine on top.
const HOLD_LIMIT: Duration = Duration::from_millis(3500);
/// An agent that has nobody's word for unknown files and holds them.
fn holding<'a>(lab: &'a Lab, site: &Site) -> LabAgent<'a> {
    let agent = lab.agent(site);
    agent.protects(site, "hold");
    lab.assert_alive_within(CANARY_LIMIT);
    agent
}

/// After the agent was told to end, everything goes on, with something held at that moment.
fn ends_by(signal: Signal) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    lab.add_program("/opt/held", &unheard_of("held when the agent ends"));
    let mut held = lab.spawn(&["/opt/held"]);
    assert!(held.within(Duration::from_millis(200)).is_none(), "it is held");
    agent.signal(signal);
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(held.within(HOLD_LIMIT).is_some(), "what was held is released");
    eventually_within(Duration::from_secs(10), "the agent is gone", || {
        let is_running = agent.is_running();
        if is_running && signal == Signal::SIGSEGV {
            // One sent from outside only ends the runtime's own handling of it; a real fault would come again by itself.
            agent.signal(signal);
        }
        (!is_running).then_some(())
    });
    lab.assert_alive_within(CANARY_LIMIT);
}

#[test]
fn an_agent_that_is_killed() {
    ends_by(Signal::SIGKILL);
}

#[test]
fn an_agent_that_is_told_to_end() {
    ends_by(Signal::SIGTERM);
}

#[test]
fn an_agent_that_crashes() {
    ends_by(Signal::SIGSEGV);
}

#[test]
fn a_stopped_agent_is_replaced_by_nothing_within_the_guard_period() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    agent.signal(Signal::SIGSTOP);
    lab.assert_alive_within(GUARD_PERIOD + CANARY_LIMIT);
    eventually_within(GUARD_PERIOD + CANARY_LIMIT, "the guard has killed it", || (!agent.is_running()).then_some(()));
    lab.assert_alive_within(CANARY_LIMIT);
}

#[test]
fn an_agent_stopped_for_a_moment_goes_on() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    agent.signal(Signal::SIGSTOP);
    let mut waiting = lab.spawn(&["true"]);
    assert!(waiting.within(Duration::from_millis(500)).is_none_or(|ended| ended.success()));
    agent.signal(Signal::SIGCONT);
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.is_running() && agent.holds_executions(), "half a second is no reason to give up");
}

#[test]
fn a_padded_program_of_five_gigabytes() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let _agent = holding(&lab, &site);
    lab.add_padded_program("/opt/padded", &unheard_of("padded"), 5 << 30);
    let mut padded = lab.spawn_as(1000, &["/opt/padded"]);
    for _ in 0..5 {
        lab.assert_alive_within(CANARY_LIMIT);
    }
    let ended = padded.within(HOLD_LIMIT).expect("reading on does not hold it past its deadline");
    assert!(ended.refusal().is_some(), "running out of time denies that file: {ended:?}");
    assert!(lab.spawn_as(1001, &["true"]).ended().success());
}
