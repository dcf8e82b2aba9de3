//! kill -9 of agent and CMS at random moments of a scan: in the end every unresolved file is there, once; and whatever was answered
//! before a kill was asked about once, only what was in flight then is asked again.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use doorward_policy::Sha256;
use doorward_tests::site::{Site, eventually, sha256, unheard_of};

const FILES: usize = 400;

fn rounds() -> u64 {
    if std::env::var_os("DOORWARD_TEST_LONG").is_some() { 20 } else { 6 }
}

/// A moment that differs from round to round and run to run, without a random number generator.
fn moment(round: u64) -> Duration {
    let noise = u64::from(std::process::id()).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round * 1_442_695_040_888_963_407);
    Duration::from_millis(noise >> 32 & 0xff)
}

#[test]
fn nothing_acknowledged_is_lost_when_either_side_is_killed() {
    let mut site = Site::start();
    let contents: Vec<_> = (0..FILES).map(|number| unheard_of(&format!("number {number}"))).collect();
    let mut builder = site.host("web-1");
    for (number, content) in contents.iter().enumerate() {
        builder = builder.with_file(format!("opt/{}/tool-{number}", number % 7), content);
    }
    let mut host = builder.enrolled().running();
    let scan = site.cms_says(&["profile", "scan", "default", "--host", host.id()]);
    let scan = scan["id"].as_str().expect("profile scan prints the scan's id").to_owned();
    // What was answered and kept when the CMS was killed, and how often it had been asked about by then.
    let mut kept: BTreeMap<Sha256, u64> = BTreeMap::new();
    let mut kills = 0;
    for round in 0..rounds() {
        thread::sleep(moment(round));
        if round % 2 == 0 {
            host.kill();
            host.run();
        } else {
            kept.extend(answered(&site).into_iter().map(|file| (file, site.asked(&file))));
            site.kill();
            kills += 1;
            site.serve();
        }
    }
    eventually("the scan ends although it was killed", || site.ask(&["scan", "show", &scan]).ok().filter(|scan| scan["state"] == "done"));
    let _ = site.settled();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for row in site.allowlist().into_iter().filter(|row| row["sources"].to_string().contains("scan")) {
        *seen.entry(row["sha256"].as_str().unwrap().to_owned()).or_default() += 1;
        assert_eq!(row["path_count"], 1, "{row}");
    }
    let expected: BTreeMap<_, _> = contents.iter().map(|content| (sha256(content).to_string(), 1)).collect();
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen, expected, "every file once");
    for (file, asked) in kept {
        assert_eq!(site.asked(&file), asked, "{file} was answered before a kill and asked about after it");
    }
    for content in &contents {
        let asked = site.asked(&sha256(content));
        assert!((1..=1 + kills).contains(&asked), "asked {asked} times with {kills} kills: only what is in flight is asked again");
    }
}

/// Files threat intelligence has answered about, by the CMS's word.
fn answered(site: &Site) -> Vec<Sha256> {
    let rows = site.allowlist().into_iter().filter(|row| row["reason"] == "unknown");
    rows.filter_map(|row| row["sha256"].as_str()?.parse().ok()).collect()
}
