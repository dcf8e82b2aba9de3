//! One user starts thousands of programs that nobody knows, one after the other and all at once, while another works.

use std::time::Duration;

use doorward_tests::lab::Lab;
use doorward_tests::site::Site;

use super::holding;
use crate::{CANARY_LIMIT, failing, minimal, rounds};

/// Longest until the processes of a storm are all started or refused.
const STORM_LIMIT: Duration = Duration::from_secs(120);
/// Programs of the storm in long rounds; 2,000 in others.
const STORM: u32 = 40_000;
/// Programs that are started in one moment; in other than long rounds too.
const AT_ONCE: u32 = 5_000;
/// Pause between two starts of the other user.
const PAUSE: Duration = Duration::from_millis(50);

/// Starts them as fast as a shell can.
fn one_by_one(programs: u32) -> String {
    format!("i=0; while [ $i -lt {programs} ]; do /opt/storm/$i 2>/dev/null & i=$((i+1)); done; wait")
}

/// Starts them in one moment: a process for each waits at a gate, which opens once the last has come. The gate is a pipe; whoever waits
/// reads from it, and reads its end when nobody is left who could write: everybody brings an end to write to along and closes it there.
fn at_once(programs: u32) -> String {
    format!(
        "mkfifo /tmp/gate && exec 3<>/tmp/gate; i=0; while [ $i -lt {programs} ]; do \
         {{ exec 4</tmp/gate 3>&-; read _ <&4; exec 4<&- /opt/storm/$i; }} 2>/dev/null & i=$((i+1)); done; \
         exec 3>&-; wait; rm /tmp/gate"
    )
}

/// Starts programs as one user, and again and again a packaged one as another; the longest such a start took.
fn worst_start(lab: &Lab, script: &str) -> Duration {
    let mut storm = lab.spawn_as(1000, &["sh", "-c", script]);
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

/// What so many processes cost the other user with nobody watching is the machine's own part.
fn storm(programs: u32, script: &str) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.add_programs("/opt/storm", &failing("storm"), programs);
    let machine = worst_start(&lab, script);
    let agent = holding(&lab, &site);
    let worst = worst_start(&lab, script);
    eprintln!("{programs}: the other user's worst start took {} ms, without an agent {} ms", worst.as_millis(), machine.as_millis());
    assert!(worst <= machine + CANARY_LIMIT, "{worst:?}, without an agent {machine:?}");
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
    let seen = agent.status()["executions"]["seen"].as_u64();
    assert!(seen >= Some(u64::from(programs)), "every one of them was started: {seen:?}");
}

#[test]
fn thousands_of_processes_of_one_user_while_another_works() {
    let programs = rounds(STORM);
    storm(programs, &one_by_one(programs));
}

#[test]
fn five_thousand_processes_started_at_once_by_one_user_while_another_works() {
    storm(AT_ONCE, &at_once(AT_ONCE));
}
