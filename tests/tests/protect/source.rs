//! A package that a list denies, where executions are held: it does not start, what runs of it is ended, and people see its files.

use std::time::Duration;

use doorward_tests::lab::Lab;
use doorward_tests::site::{Site, eventually, sha256};
use nix::errno::Errno;
use serde_json::Value;

use crate::{CANARY_LIMIT, copy_of, minimal};

/// Longest between a publication and the end of what it ends.
const KILL_LIMIT: Duration = Duration::from_secs(10);
const SIGKILL: i32 = 9;
const DAEMON: &str = "/usr/bin/game-daemon";
const PLAYER: &str = "/usr/bin/game-player";

#[test]
fn a_denied_package_does_not_start_and_what_runs_of_it_is_ended() {
    let Some(lab) = minimal() else { return };
    denied(&lab, &[]);
}

#[test]
fn so_does_a_denied_version_of_it() {
    let Some(lab) = minimal() else { return };
    denied(&lab, &["--versions", "< 999"]);
}

fn denied(lab: &Lab, versions: &[&str]) {
    let site = Site::start();
    let (daemon, player) = (copy_of("sleep", "game daemon"), copy_of("sleep", "game player"));
    lab.install("game", &[(DAEMON.trim_start_matches('/'), &daemon), (PLAYER.trim_start_matches('/'), &player)]);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    let _ = site.cms_says(&["profile", "set", "default", "kill_on_bad_verdict=true"]);
    agent.protects(&site, "deny");
    assert!(lab.run(&[PLAYER, "0"]).success(), "its package vouches for it");
    let mut process = lab.spawn(&[DAEMON, "300"]);
    eventually("it runs", || (lab.processes_of(DAEMON) > 0).then_some(()));
    assert!(site.file(&sha256(&player)).is_none(), "what its package settles is not told");

    let _ = site.cms_says(&[&["source", "deny", "dpkg:game", "--profile", "default"], versions].concat());
    let _ = site.cms_says(&["profile", "publish", "default"]);
    let _ = agent.judged(PLAYER, "package_not_allowed");
    assert_eq!(lab.run(&[PLAYER, "0"]).refusal(), Some(Errno::EPERM));
    let ended = process.within(KILL_LIMIT).expect("what ran is ended");
    assert_eq!(ended.signal(), Some(SIGKILL), "{ended:?}");
    for content in [&daemon, &player] {
        let file = site.file_with_reason(&sha256(content), "package_not_allowed");
        assert_eq!(file["status"], "threat", "{file}");
        assert_eq!(site.asked(&sha256(content)), 0, "nobody is asked about it");
    }
    let incident = eventually("people are told of what was ended", || {
        let incidents = site.cms_says(&["incident", "list", "--open"]);
        let turned = incidents["items"].as_array()?.iter().find(|incident| incident["kind"] == "verdict_turned")?.clone();
        turned["detail"]["hosts"][0]["live"].as_array().filter(|live| !live.is_empty()).cloned()
    });
    let fates: Vec<&Value> = incident.iter().map(|live| &live["fate"]).collect();
    assert_eq!(fates, ["killed"]);
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}
