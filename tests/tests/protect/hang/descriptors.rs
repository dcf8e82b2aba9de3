//! The agent runs out of descriptors.

use doorward_tests::lab::{leave_descriptors, limit_descriptors};
use doorward_tests::site::{Site, unheard_of};

use super::{HOLD_LIMIT, holding};
use crate::{CANARY_LIMIT, minimal};

/// Descriptors left: not enough for the file and the process of a few executions at once.
const LEFT: usize = 2;
/// Programs started at once, half of them unknown.
const STARTS: u32 = 32;

#[test]
fn an_agent_without_descriptors() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = holding(&lab, &site);
    lab.add_programs("/opt/unknown", &unheard_of("started without descriptors"), STARTS);
    let before = match leave_descriptors(agent.pid(), LEFT) {
        Ok(before) => before,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    let unknown = (0..STARTS / 2).map(|number| lab.spawn_as(1000, &[format!("/opt/unknown/{number}")]));
    let mut all: Vec<_> = unknown.collect();
    all.extend((0..STARTS / 2).map(|_| lab.spawn_as(1001, &["true"])));
    // Refused or not, nobody waits.
    let canary = lab.canary_exec();
    assert!(canary.took.is_some_and(|took| took <= CANARY_LIMIT), "{canary:?}");
    for mut process in all {
        let ended = process.within(HOLD_LIMIT).expect("nobody waits past the deadline");
        assert!(ended.success() || ended.refusal().is_some(), "{ended:?}");
    }
    limit_descriptors(agent.pid(), before);
    let exhausted = agent.status();
    // A kernel that cannot tell which event it had no descriptor for only says that there was one.
    let told = |reason: &str| exhausted["failures"][reason].as_u64().is_some_and(|count| count > 0);
    assert!(told("denied_unjudged") || told("descriptors_exhausted"), "for want of descriptors: {exhausted}");
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.is_running() && agent.holds_executions(), "{}", agent.log());
}
