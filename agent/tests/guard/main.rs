//! The guard with real processes: the real program, and a stand-in for the agent it guards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod stand_in;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use doorward_agent::health::guard::duty::EXIT_AGENT_KILLED;
use nix::sys::signal::Signal;

use stand_in::{PATIENCE, StandIn, happens_within};

/// Silence that is fatal in these tests. Long enough that a busy machine does not silence a beating thread for as long.
const PERIOD: Duration = Duration::from_secs(2);
/// How an agent that its guard ended has ended.
const SIGKILL: i32 = Signal::SIGKILL as i32;

/// Not a test of its own: what [`StandIn::start`] executes.
#[test]
fn stand_in_for_a_guarded_agent() {
    stand_in::act();
}

#[test]
fn the_guard_kills_an_agent_that_was_stopped() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    agent.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    assert_eq!(agent.end(), Some(SIGKILL));
    let silence = stopped.elapsed();
    // One pause of the guard itself is pardoned, so a starved machine may take the period twice.
    assert!(silence >= PERIOD - Duration::from_millis(300) && silence < PERIOD * 3, "{silence:?}");
    assert_eq!(agent.guard.exit_code(), i32::from(EXIT_AGENT_KILLED));
}

#[test]
fn the_guard_kills_an_agent_that_runs_but_no_longer_beats() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    agent.tell("hush");
    assert_eq!(agent.end(), Some(SIGKILL));
    assert_eq!(agent.guard.exit_code(), i32::from(EXIT_AGENT_KILLED));
}

#[test]
fn the_guard_leaves_a_beating_agent_alone() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    assert!(agent.survives(PERIOD * 3));
    assert!(agent.guard.is_alive());
    assert_eq!(agent.tell("is alive"), "true");
}

#[test]
fn a_disarmed_guard_never_kills() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    agent.tell("disarm");
    agent.tell("hush");
    assert!(agent.survives(PERIOD * 2));
    agent.tell("arm");
    assert_eq!(agent.end(), Some(SIGKILL), "it was watching all the time");
}

#[test]
fn a_guard_goes_when_its_agent_goes() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    assert_eq!(agent.tell("leave"), "leaving");
    assert_eq!(agent.end(), None);
    assert_eq!(agent.guard.exit_code(), 0);
}

#[test]
fn a_guard_goes_when_its_agent_is_killed() {
    let mut agent = StandIn::start(PERIOD);
    agent.signal(Signal::SIGKILL);
    assert_eq!(agent.end(), Some(SIGKILL));
    assert_eq!(agent.guard.exit_code(), 0);
}

#[test]
fn dropping_a_guard_sends_it_away_and_spares_the_agent() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    agent.tell("hush");
    agent.tell("drop");
    assert!(!agent.guard.is_alive());
    assert!(!Path::new(&format!("/proc/{}", agent.guard.pid)).exists(), "it was waited for");
    assert!(agent.survives(PERIOD * 2));
}

#[test]
fn signals_to_the_whole_service_do_not_end_the_guard() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGABRT, Signal::SIGQUIT, Signal::SIGALRM, Signal::SIGTSTP] {
        agent.guard.signal(signal);
    }
    agent.signal(Signal::SIGSTOP);
    assert_eq!(agent.end(), Some(SIGKILL));
    assert_eq!(agent.guard.exit_code(), i32::from(EXIT_AGENT_KILLED));
}

#[test]
fn a_guard_that_was_killed_is_noticed_and_its_successor_watches_on() {
    let mut agent = StandIn::start(PERIOD);
    agent.tell("arm");
    agent.guard.signal(Signal::SIGKILL);
    assert!(happens_within(PATIENCE, || agent.tell("is alive") == "false"));
    let successor = agent.tell_for_guard("replace");
    assert_eq!(agent.tell("is alive"), "true");
    assert!(agent.survives(PERIOD * 2), "the old heartbeat reaches the new guard");
    agent.tell("hush");
    assert_eq!(agent.end(), Some(SIGKILL), "and it is armed as the old one was");
    assert_eq!(successor.exit_code(), i32::from(EXIT_AGENT_KILLED));
}

#[test]
fn a_guard_that_was_paused_itself_does_not_kill_on_waking() {
    let agent = {
        let mut agent = StandIn::start(PERIOD);
        agent.tell("arm");
        agent
    };
    agent.guard.signal(Signal::SIGSTOP);
    agent.signal(Signal::SIGSTOP);
    assert!(agent.survives(PERIOD * 2), "both are paused, as in a frozen control group");
    agent.guard.signal(Signal::SIGCONT);
    assert!(agent.survives(PERIOD / 2), "the guard has looked by now");
    agent.signal(Signal::SIGCONT);
    assert!(agent.survives(PERIOD * 2));
}

#[test]
fn a_guard_holds_nothing_but_its_agent_and_its_memory() {
    let mut agent = StandIn::start(PERIOD);
    let process = PathBuf::from(format!("/proc/{}", agent.guard.pid));
    let Ok(open) = fs::read_dir(process.join("fd")) else {
        return eprintln!("SKIPPED: a_guard_holds_nothing_but_its_agent_and_its_memory, because looking into the guard needs root");
    };
    let open: Vec<_> = open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string()).collect();
    assert!(matches!(&open[..], [only] if only.contains("pidfd")), "{open:?}");
    let shared = |line: &&str| line.contains("memfd:doorward-guard");
    assert_eq!(fs::read_to_string(process.join("maps")).unwrap().lines().filter(shared).count(), 1);
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let core: Vec<_> = limits.lines().find(|line| line.starts_with("Max core")).unwrap().split_whitespace().collect();
    assert_eq!(&core[4..6], ["0", "0"]);
    assert_eq!(fs::read_link(process.join("cwd")).unwrap(), Path::new("/"));
    assert!(fs::read(process.join("environ")).unwrap().is_empty());
    let status = fs::read_to_string(process.join("status")).unwrap();
    assert_eq!(field(&status, "Threads"), "1");
    if agent.tell("is locked") == "false" {
        return eprintln!("SKIPPED: the guard's locked memory, because the kernel refused to lock it");
    }
    assert_ne!(field(&status, "VmLck"), "0 kB");
    eprintln!("the guard's memory: {} resident, {} locked when touched", field(&status, "VmRSS"), field(&status, "VmLck"));
    if fs::write("/proc/self/oom_score_adj", "-1000").is_err() {
        return eprintln!("SKIPPED: the guard's exemption from the out-of-memory killer, because it needs CAP_SYS_RESOURCE");
    }
    assert_eq!(fs::read_to_string(process.join("oom_score_adj")).unwrap().trim(), "-1000");
}

#[test]
fn a_guard_started_by_hand_says_what_it_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward-agent")).arg("guard").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "EX_USAGE");
    assert!(String::from_utf8_lossy(&output.stderr).contains("started by the daemon"), "{output:?}");
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {status}")).trim()
}
