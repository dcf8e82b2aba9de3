//! The package manager of a real Debian under protect: nothing it does is denied.

use std::time::Duration;

use doorward_tests::lab::{Lab, LabAgent};
use doorward_tests::site::{Site, eventually};
use nix::errno::Errno;

use crate::{CANARY_LIMIT, debian};

/// Longest an operation of apt takes, downloads included.
const APT_LIMIT: Duration = Duration::from_secs(300);

fn apt(lab: &Lab, arguments: &[&str]) {
    let mut command = vec!["apt-get", "-qq", "-y"];
    command.extend(arguments);
    let ended = lab.spawn(&command).ended_within(APT_LIMIT);
    assert!(ended.success(), "apt-get {}: {} {}", arguments.join(" "), ended.stdout, ended.stderr);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains("Operation not permitted"), "{said}");
}

#[test]
fn packages_are_installed_removed_and_installed_again() {
    operations(|agent, site| agent.protects(site, "deny"));
}

#[test]
fn packages_are_installed_removed_and_installed_again_where_opens_are_covered() {
    operations(|agent, site| agent.protects_opens(site, "deny"));
}

fn operations(protect: impl FnOnce(&LabAgent<'_>, &Site)) {
    let Some(lab) = debian() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    protect(&agent, &site);
    apt(&lab, &["update"]);
    apt(&lab, &["install", "hello"]);
    eventually("what was installed is trusted", || lab.run(&["hello"]).success().then_some(()));
    apt(&lab, &["install", "--reinstall", "hello"]);
    apt(&lab, &["remove", "hello"]);
    assert_eq!(lab.run(&["hello"]).refusal(), Some(Errno::ENOENT));
    // Maintainer scripts, users and triggers.
    apt(&lab, &["install", "cron", "man-db"]);
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}
