//! A program that runs when it is denied: ended where the profile wants it, left alone where it does not, and told in any case.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::time::Duration;

use doorward_tests::lab::{Lab, LabAgent, Process};
use doorward_tests::site::{Site, eventually, sha256};
use serde_json::Value;

use crate::minimal;

/// Longest between a decision and the end of what it ends.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How long a process is watched that must live.
const LIFE: Duration = Duration::from_secs(2);
const SIGKILL: i32 = 9;
const PATH: &str = "/opt/daemon";

/// The bytes of a program that sleeps and that no other test and no machine has.
fn sleeper(name: &str) -> Vec<u8> {
    let mut bytes = std::fs::read("/bin/sleep").expect("every machine has /bin/sleep");
    bytes.extend_from_slice(format!("\0doorward test program {name}").as_bytes());
    bytes
}

/// An agent that protects, with the option set like this.
fn protecting<'a>(lab: &'a Lab, site: &Site, kill: bool) -> LabAgent<'a> {
    let agent = lab.agent(site);
    let _ = site.cms_says(&["profile", "set", "default", &format!("kill_on_bad_verdict={kill}")]);
    agent.protects(site, "allow");
    agent
}

/// Starts the program as often as wanted, and waits until the agent has seen it.
fn started(lab: &Lab, site: &Site, program: &[u8], times: usize) -> Vec<Process> {
    lab.add_program(PATH, program);
    let processes = (0..times).map(|_| lab.spawn_as(1000, &[PATH, "300"])).collect();
    eventually("the CMS has heard of it", || site.file(&sha256(program)));
    processes
}

/// What the incident about the denied program tells of this host: fates by process.
fn told(site: &Site) -> Vec<(u64, String)> {
    let live = eventually("the incident is there with the host's word", || {
        let incidents = site.cms_says(&["incident", "list", "--open"]);
        let turned = incidents["items"].as_array()?.iter().find(|incident| incident["kind"] == "verdict_turned")?.clone();
        turned["detail"]["hosts"][0]["live"].as_array().filter(|live| !live.is_empty()).cloned()
    });
    let fate = |live: &Value| (live["process"]["pid"].as_u64().expect("a number"), live["fate"].as_str().expect("a word").to_owned());
    let mut fates: Vec<_> = live.iter().map(fate).collect();
    fates.sort_unstable();
    fates
}

fn fates(processes: &[Process], fate: &str) -> Vec<(u64, String)> {
    let mut fates: Vec<_> = processes.iter().map(|process| (u64::from(process.pid()), fate.to_owned())).collect();
    fates.sort_unstable();
    fates
}

/// The same bytes run on the machine itself, outside of the lab; ended when dropped.
struct Bystander(Child);

impl Bystander {
    fn start(folder: &tempfile::TempDir, program: &[u8]) -> Self {
        let path = folder.path().join("daemon");
        std::fs::write(&path, program).expect("a program");
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its mode");
        Self(Command::new(&path).arg("300").spawn().expect("it starts"))
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().expect("a child can be waited for").is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_program_that_is_denied_is_ended_where_the_profile_says_so() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = protecting(&lab, &site, true);
    let program = sleeper("ended");
    let folder = tempfile::tempdir().expect("a folder of the machine");
    let mut bystander = Bystander::start(&folder, &program);
    let mut processes = started(&lab, &site, &program, 3);
    agent.decided(&site, "deny", &sha256(&program), PATH);
    for process in &mut processes {
        let ended = process.within(KILL_LIMIT).expect("it is ended");
        assert_eq!(ended.signal(), Some(SIGKILL), "{ended:?}");
    }
    assert_eq!(told(&site), fates(&processes, "killed"));
    assert!(bystander.is_alive(), "the lab's agent ends nothing outside of the lab");
    assert_eq!(agent.status()["failures"]["kill_failed"], Value::Null, "nothing that was to be ended lives on");
}

#[test]
fn it_lives_on_where_the_profile_does_not() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = protecting(&lab, &site, false);
    let program = sleeper("lives on");
    let mut processes = started(&lab, &site, &program, 2);
    agent.decided(&site, "deny", &sha256(&program), PATH);
    assert_eq!(told(&site), fates(&processes, "ran"));
    for process in &mut processes {
        assert!(process.within(LIFE).is_none(), "nobody wanted it ended");
    }
}
