//! One user starts thousands of programs that nobody knows, while another works.

use std::time::Duration;

use doorward_tests::lab::Lab;
use doorward_tests::site::Site;

use super::holding;
use crate::{CANARY_LIMIT, failing, minimal, rounds};

/// Longest until the processes of a storm are all started or refused.
const STORM_LIMIT: Duration = Duration::from_secs(120);
/// Programs of the storm in long rounds; 2,000 in others.
const STORM: u32 = 40_000;
/// Pause between two starts of the other user.
const PAUSE: Duration = Duration::from_millis(50);

/// Starts all of them at once as one user, and again and again a packaged program as another; the longest such a start took.
fn worst_start(lab: &Lab, programs: u32) -> Duration {
    let script = format!("i=0; while [ $i -lt {programs} ]; do /opt/storm/$i 2>/dev/null & i=$((i+1)); done; wait");
    let mut storm = lab.spawn_as(1000, &["sh", "-c", &script]);
    let mut worst = Duration::ZERO;
    let mut ended = None;
    while ended.is_none() {
        let canary = lab.canary_exec_as(1001);
        worst = worst.max(canary.took.expect("a packaged program never waits for ever"));
        assert_eq!(canary.errno, None, "{canary:?}");
        ended = storm.within(PAUSE);
        assert!(worst < STORM_LIMIT);
    }
    worst
}

#[test]
fn thousands_of_processes_of_one_user_while_another_works() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let programs = rounds(STORM);
    lab.add_programs("/opt/storm", &failing("storm"), programs);
    // What so many processes cost the other user with nobody watching is the machine's own part.
    let machine = worst_start(&lab, programs);
    let agent = holding(&lab, &site);
    let worst = worst_start(&lab, programs);
    eprintln!("the other user's worst start took {} ms, without an agent {} ms", worst.as_millis(), machine.as_millis());
    assert!(worst <= machine + CANARY_LIMIT, "{worst:?}, without an agent {machine:?}");
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}
