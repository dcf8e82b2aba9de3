//! Denies of what a host cannot be booted or managed without: overridden there entry by entry, while the rest of the policy holds.

use std::time::Duration;

use doorward_tests::site::{Site, eventually, eventually_within, sha256};
use nix::errno::Errno;
use serde_json::Value;

use crate::{CANARY_LIMIT, debian, failing};

/// Longest an operation of apt takes, downloads included.
const APT_LIMIT: Duration = Duration::from_secs(300);
/// Longest until the host has looked after its closure and the CMS has heard of it; in a debug build each file is read slowly at first.
const LOOK_LIMIT: Duration = Duration::from_secs(120);
const ORDINARY: &str = "/opt/ordinary";

/// What the open incident of this kind tells.
fn detail(site: &Site, kind: &str) -> Option<Value> {
    let incidents = site.cms_says(&["incident", "list", "--open"]);
    Some(incidents["items"].as_array()?.iter().find(|incident| incident["kind"] == kind)?["detail"].clone())
}

#[test]
fn denies_that_would_brick_the_host_are_refused_or_overridden_and_the_others_hold() {
    let Some(lab) = debian() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    let refused = site.ask(&["package", "deny", "libc6", "--manager", "dpkg", "--profile", "default"]).unwrap_err();
    assert!(refused.contains("hosts cannot do without package libc6"), "{refused}");

    lab.add_program(ORDINARY, &failing("denied beside the closure"));
    // Files and packages that the CMS cannot know to be needed: nobody reported them, and no list of names has them.
    let shell = lab.run(&["sha256sum", "/usr/bin/dash"]).stdout[..64].to_owned();
    let library = lab.run(&["sh", "-c", "sha256sum /lib/x86_64-linux-gnu/libc.so.6 /lib/aarch64-linux-gnu/libc.so.6 2>/dev/null"]).stdout;
    for file in [&shell, &library[..64], &sha256(&failing("denied beside the closure")).to_string()] {
        let _ = site.cms_says(&["file", "deny", file, "--profile", "default", "--comment", "a test"]);
    }
    for package in ["gpgv", "tar", "hello"] {
        let _ = site.cms_says(&["package", "deny", package, "--manager", "dpkg", "--profile", "default"]);
    }
    let _ = site.cms_says(&["profile", "publish", "default"]);
    let _ = agent.judged(ORDINARY, "denied_by_person");

    assert_eq!(lab.run(&[ORDINARY]).refusal(), Some(Errno::EPERM), "the rest of the publication holds");
    assert!(lab.run(&["sh", "-c", "true"]).success(), "a shell starts");
    let update = lab.spawn(&["apt-get", "-qq", "update"]).ended_within(APT_LIMIT);
    assert!(update.success() && !update.stderr.contains("not permitted"), "{} {}", update.stdout, update.stderr);
    let why = agent.judged("/usr/bin/dash", "closure");
    assert!(why["explanation"].to_string().contains("overridden") || why.to_string().contains("overridden"), "{why:#}");

    let wanted = [("file_deny_overridden", "/usr/bin/dash"), ("package_deny_overridden", "gpgv"), ("package_deny_overridden", "tar")];
    eventually_within(LOOK_LIMIT, "the incident names the entries", || {
        let entries = detail(&site, "deny_overridden")?["entries"].as_array()?.clone();
        let named = |(event, name): &(&str, &str)| {
            entries.iter().any(|entry| entry["event"] == *event && (entry["path"] == *name || entry["source"] == *name))
        };
        assert!(entries.iter().all(|entry| entry["source"] != "hello" && entry["path"] != ORDINARY), "{entries:?}");
        (wanted.iter().all(named) && entries.iter().any(|entry| entry["path"].as_str().is_some_and(|path| path.ends_with("libc.so.6"))))
            .then_some(())
    });
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());

    // Somebody changes the shell behind the package manager's back: it is one file among others then.
    lab.must(&["sh", "-c", "cp /usr/bin/dash /usr/bin/dash.new && printf x >> /usr/bin/dash.new && mv /usr/bin/dash.new /usr/bin/dash"]);
    eventually_within(LOOK_LIMIT, "the change is an incident", || {
        detail(&site, "closure_changed").filter(|detail| detail["path"] == "/usr/bin/dash")
    });
    eventually("it is denied like any other file", || {
        (lab.run(&["/usr/bin/dash", "-c", "true"]).refusal() == Some(Errno::EPERM)).then_some(())
    });
}
