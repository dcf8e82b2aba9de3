//! What runs is noticed: with the kernel's real events, on a filesystem of the test's own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use doorward_tests::site::{Site, sha256, unheard_of};
use doorward_tests::ti::RecordStatus;
use nix::unistd::geteuid;

/// Whether executions can be watched here; says loudly when they cannot.
fn can_watch() -> bool {
    if geteuid().is_root() {
        return true;
    }
    eprintln!("SKIPPED: watching executions needs root");
    false
}

#[test]
fn an_unknown_program_that_runs_is_reported_with_its_process() {
    if !can_watch() {
        return;
    }
    let site = Site::start();
    let host = site.host("web-1").enrolled().running();
    let tool = unheard_of("just copied in");
    let _path: PathBuf = host.add_file("opt/tool", &tool);
    host.execute("opt/tool");
    let incident = site.incident("new_process", &sha256(&tool));
    assert!(incident.to_string().contains("/opt/tool"), "{incident}");
    let file = site.file_with_reason(&sha256(&tool), "unknown");
    let execution = file["observations"].as_array().unwrap().iter().find(|observation| observation["use"] == "execute").unwrap();
    assert!(execution["process"]["pid"].as_u64().unwrap() > 1, "{execution}");
    assert_eq!(execution["process"]["uid"], 0, "{execution}");
}

#[test]
fn a_threat_that_runs_is_an_incident_of_its_own() {
    if !can_watch() {
        return;
    }
    let site = Site::start();
    let tool = unheard_of("a threat");
    site.ti_says(&sha256(&tool), RecordStatus::Malicious, 5);
    let host = site.host("web-1").enrolled().running();
    host.add_file("opt/tool", &tool);
    host.execute("opt/tool");
    let _ = site.incident("threat_executed", &sha256(&tool));
    assert_eq!(site.file_with_reason(&sha256(&tool), "malicious")["threat_score"], 10);
    let _ = host.judged("opt/tool", "threat");
}

#[test]
fn a_script_is_judged_by_itself() {
    if !can_watch() {
        return;
    }
    let site = Site::start();
    let host = site.host("web-1").enrolled().running();
    let script = b"#!/bin/sh\n# nobody has seen this script\nexit 0\n";
    host.add_file("opt/script", script);
    host.execute("opt/script");
    let file = site.file_with_reason(&sha256(script), "unknown");
    assert_eq!(file["kind"], "script");
}

#[test]
fn detect_delays_nothing_even_while_the_agent_is_stopped() {
    if !can_watch() {
        return;
    }
    let site = Site::start();
    let mut host = site.host("web-1").enrolled().running();
    host.add_file("opt/tool", &unheard_of("while it sleeps"));
    let pid = host.agent().pid().to_string();
    assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
    host.execute("opt/tool");
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    let _ = site.incident("new_process", &sha256(&unheard_of("while it sleeps")));
}

#[test]
fn a_program_that_was_running_before_the_agent_is_caught_up_with() {
    if !can_watch() {
        return;
    }
    let site = Site::start();
    let host = site.host("web-1").enrolled();
    let mut bytes = fs::read("/bin/sleep").unwrap();
    bytes.extend_from_slice(b"\0here before the agent");
    let path = host.add_file("opt/sleeper", &bytes);
    let mut sleeper = Command::new(path).arg("600").stdin(Stdio::null()).spawn().unwrap();
    let host = host.running();
    let file = site.file_with_reason(&sha256(&bytes), "unknown");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert!(file["observations"].as_array().unwrap().iter().any(|observation| observation["use"] == "execute"), "{file}");
    drop(host);
}
