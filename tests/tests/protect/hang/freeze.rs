//! Somebody freezes the agent's control group, and with it everything the service manager put there.

use doorward_tests::lab::ControlGroup;
use doorward_tests::site::{Site, eventually_within};

use super::GUARD_PERIOD;
use crate::{CANARY_LIMIT, minimal};

#[test]
fn a_frozen_control_group() {
    let Some(lab) = minimal() else { return };
    let group = match ControlGroup::new() {
        Ok(group) => group,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    lab.mount_control_groups();
    let site = Site::start();
    let mut agent = lab.agent(&site);
    // The guard starts with protection, in the agent's own group like everything a service starts.
    group.take(agent.pid());
    agent.protects(&site, "hold");
    lab.assert_alive_within(CANARY_LIMIT);
    group.freeze();
    lab.assert_alive_within(GUARD_PERIOD + CANARY_LIMIT);
    eventually_within(GUARD_PERIOD + CANARY_LIMIT, "the guard has killed it", || (!agent.is_running()).then_some(()));
    lab.assert_alive_within(CANARY_LIMIT);
}
