//! What ran is what was judged: a denied program never runs to its end unnoticed, however its file is changed meanwhile.

use std::time::Duration;

use doorward_tests::lab::attack::{Tally, Way};
use doorward_tests::site::{Site, sha256, unheard_of};

use crate::{CANARY_LIMIT, failing, minimal, rounds};

/// Rounds of each attack in a long run.
const ROUNDS: u32 = 10_000;
/// Where the user keeps what he attacks.
const VICTIM: &str = "/home/ann/victim";
/// A length that takes a good part of a second to read.
const LARGE_BYTES: u64 = 256 << 20;
/// About as long as that.
const LARGE_SPREAD: Duration = Duration::from_millis(600);
const LARGE_ROUNDS: u32 = 200;
/// A length that cannot be read within a deadline.
const HUGE_BYTES: u64 = 5 << 30;
/// Longer than that deadline.
const HUGE_SPREAD: Duration = Duration::from_secs(3);
const HUGE_ROUNDS: u32 = 60;

/// Both programs, of the same length so that no size tells them apart.
fn programs(name: &str) -> (Vec<u8>, Vec<u8>) {
    let (mut good, mut bad) = (unheard_of(name), failing(name));
    let length = good.len().max(bad.len());
    good.resize(length, 0);
    bad.resize(length, 0);
    (good, bad)
}

/// Rounds of one attack at one place.
fn attack(way: Way, victim: &str) {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (good, bad) = programs(way.word());
    lab.add_program("/opt/good", &good);
    lab.add_program("/opt/bad", &bad);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "allow");
    agent.decided(&site, "allow", &sha256(&good), "/opt/good");
    agent.decided(&site, "deny", &sha256(&bad), "/opt/bad");
    let rounds = rounds(ROUNDS);
    let tally = lab.attack(1000, way, ["/opt/good", "/opt/bad", victim], rounds);
    eprintln!("{} {victim}: {tally:?}", way.word());
    assert_eq!(total(&tally), rounds * way.starts(), "{tally:?}");
    // Under a write lease nobody can look at it, and what cannot be looked at does not start.
    assert!(tally.good > 0 || way == Way::WriteLease, "the attack must be able to miss: {tally:?}");
    if tally.bad > 0 {
        // Too late to stop is allowed only if it is told.
        let _ = site.incident("threat_executed", &sha256(&bad));
    }
    assert_eq!(tally.bad, 0, "a denied program ran to its end: {tally:?}");
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}

const fn total(tally: &Tally) -> u32 {
    tally.good + tally.bad + tally.denied + tally.busy + tally.killed + tally.broken
}

#[test]
fn rewriting_it_in_place() {
    attack(Way::Rewrite, VICTIM);
}

#[test]
fn emptying_and_filling_it() {
    attack(Way::Truncate, VICTIM);
}

#[test]
fn renaming_another_over_it() {
    attack(Way::Rename, VICTIM);
}

#[test]
fn storing_into_it_through_a_mapping_once_it_ran() {
    attack(Way::Mapped, VICTIM);
}

#[test]
fn storing_into_it_in_memory_through_a_mapping_once_it_ran() {
    attack(Way::Mapped, "/tmp/victim");
}

#[test]
fn storing_into_it_through_a_mapping_that_stands() {
    attack(Way::Mapping, VICTIM);
}

#[test]
fn writing_it_under_a_write_lease() {
    attack(Way::WriteLease, VICTIM);
}

#[test]
fn rewriting_it_while_read_leases_come_and_go() {
    attack(Way::ReadLease, VICTIM);
}

#[test]
fn rewriting_a_large_one_while_it_is_read() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (mut good, mut bad) = programs("large");
    lab.add_program("/opt/good", &good);
    lab.add_program("/opt/bad", &bad);
    lab.add_padded_program("/opt/large-good", &good, LARGE_BYTES);
    lab.add_padded_program("/opt/large-bad", &bad, LARGE_BYTES);
    for content in [&mut good, &mut bad] {
        content.resize(usize::try_from(LARGE_BYTES).unwrap(), 0);
    }
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "allow");
    agent.decided(&site, "allow", &sha256(&good), "/opt/large-good");
    agent.decided(&site, "deny", &sha256(&bad), "/opt/large-bad");
    let rounds = rounds(LARGE_ROUNDS);
    for way in [Way::Rewrite, Way::Truncate, Way::Rename] {
        let tally = lab.attack_padded(1000, way, ["/opt/good", "/opt/bad", VICTIM], rounds, LARGE_BYTES, LARGE_SPREAD);
        eprintln!("{} of {LARGE_BYTES} bytes: {tally:?}", way.word());
        assert_eq!((total(&tally), tally.bad), (rounds, 0), "{tally:?}");
    }
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}

#[test]
fn rewriting_five_gigabytes_while_they_are_read() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let (good, bad) = programs("five gigabytes");
    lab.add_program("/opt/good", &good);
    lab.add_program("/opt/bad", &bad);
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    let rounds = rounds(HUGE_ROUNDS);
    let tally = lab.attack_padded(1000, Way::Rewrite, ["/opt/good", "/opt/bad", VICTIM], rounds, HUGE_BYTES, HUGE_SPREAD);
    eprintln!("{HUGE_BYTES} bytes: {tally:?}");
    assert_eq!((total(&tally), tally.good, tally.bad), (rounds, 0, 0), "nobody knows either of them: {tally:?}");
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}
