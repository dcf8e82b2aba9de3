//! What ran is what was judged: a denied program never runs to its end unnoticed, however its file is changed meanwhile.

use doorward_tests::lab::attack::{Tally, Way};
use doorward_tests::site::{Site, sha256, unheard_of};

use crate::{CANARY_LIMIT, failing, minimal, rounds};

/// Rounds of each attack in a long run.
const ROUNDS: u32 = 10_000;

/// Both programs, of the same length so that no size tells them apart.
fn programs(name: &str) -> (Vec<u8>, Vec<u8>) {
    let (mut good, mut bad) = (unheard_of(name), failing(name));
    let length = good.len().max(bad.len());
    good.resize(length, 0);
    bad.resize(length, 0);
    (good, bad)
}

fn attack(way: Way) {
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
    let tally = lab.attack(1000, way, ["/opt/good", "/opt/bad", "/home/ann/victim"], rounds);
    eprintln!("{}: {tally:?}", way.word());
    assert_eq!(total(&tally), rounds, "{tally:?}");
    assert!(tally.good > 0, "the attack must be able to miss: {tally:?}");
    if tally.bad > 0 {
        // Too late to stop is allowed only if it is told.
        let _ = site.incident("threat_executed", &sha256(&bad));
    }
    assert_eq!(tally.bad, 0, "a denied program ran to its end: {tally:?}");
    lab.assert_alive_within(CANARY_LIMIT);
}

const fn total(tally: &Tally) -> u32 {
    tally.good + tally.bad + tally.denied + tally.busy + tally.killed + tally.broken
}

#[test]
fn rewriting_it_in_place() {
    attack(Way::Rewrite);
}

#[test]
fn emptying_and_filling_it() {
    attack(Way::Truncate);
}

#[test]
fn renaming_another_over_it() {
    attack(Way::Rename);
}
