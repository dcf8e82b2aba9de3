//! Detect on a whole host of its own: what a scan of its root finds, and what is noticed when it runs.

use doorward_tests::site::{Site, eventually, sha256, unheard_of};

use crate::{CANARY_LIMIT, copy_of, debian, minimal};

#[test]
fn a_scan_of_a_whole_host_reports_only_what_no_package_brought() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let foreign = unheard_of("foreign");
    lab.add_program("/opt/foreign", &foreign);
    let agent = lab.agent(&site);
    let scan = agent.reference_scan(&site);
    assert_eq!(scan["unresolved"], 1, "{scan}");
    assert!(scan["package_trusted"].as_u64().unwrap() > 40, "{scan}");
    let _ = site.settled();
    // The lab sees the machine's processes, and at its start the agent catches up with what runs: that lies elsewhere.
    let rows: Vec<_> = site.allowlist().into_iter().filter(|row| row["sources"].to_string().contains("scan")).collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["sha256"], sha256(&foreign).to_string());
    assert_eq!(agent.why("/usr/bin/true")["judgement"]["row"], "package");
    assert_eq!(agent.why("/usr/sbin/doorward-agent")["judgement"]["verdict"], "allow");
}

#[test]
fn an_execution_is_noticed_and_the_machine_outside_is_not() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    // In detect nobody waits: only what still runs when it is looked at has a user.
    let (inside, outside) = (copy_of("sleep", "inside the lab"), unheard_of("outside the lab"));
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().join("tool");
    std::fs::write(&machine, &outside).unwrap();
    std::fs::set_permissions(&machine, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(std::process::Command::new(&machine).status().unwrap().success());
    lab.add_program("/opt/tool", &inside);
    assert!(lab.spawn_as(1000, &["/opt/tool", "1"]).ended().success());
    let incident = site.incident("new_process", &sha256(&inside));
    assert!(incident.to_string().contains("/opt/tool"), "{incident}");
    let file = site.file_with_reason(&sha256(&inside), "unknown");
    assert_eq!(file["observations"][0]["process"]["uid"], 1000, "{file}");
    assert!(site.file(&sha256(&outside)).is_none(), "what the machine runs is not the lab's");
    let covered = agent.status()["coverage"]["covered"].to_string();
    for point in ["/", "/tmp", "/run"] {
        assert!(covered.contains(&format!("\"{point}\"")), "{covered}");
    }
    assert!(!agent.holds_executions(), "detect has no permission mark");
}

#[test]
fn packaged_programs_run_without_a_report() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let greeting = unheard_of("of a package");
    lab.install("hello", &[("usr/bin/hello", &greeting)]);
    let agent = lab.agent(&site);
    let before = agent.status()["executions"]["judged"].as_u64().unwrap();
    assert!(lab.run(&["hello"]).success());
    eventually("it was judged", || Some(agent.status()["executions"]["judged"].as_u64()? > before).filter(|judged| *judged));
    assert_eq!(agent.why("/usr/bin/hello")["judgement"]["row"], "package");
    assert!(site.file(&sha256(&greeting)).is_none());
    assert_eq!(site.asked(&sha256(&greeting)), 0);
}

#[test]
fn a_stopped_agent_delays_nothing() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.signal(nix::sys::signal::Signal::SIGSTOP);
    lab.assert_alive_within(CANARY_LIMIT);
    agent.signal(nix::sys::signal::Signal::SIGCONT);
}

#[test]
fn a_whole_debian_is_trusted_by_its_packages() {
    let Some(lab) = debian() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    let scan = agent.reference_scan(&site);
    assert_eq!(scan["state"], "done", "{scan}");
    assert!(scan["package_trusted"].as_u64().unwrap() > 500, "{scan}");
    for program in ["/usr/bin/apt-get", "/bin/sh", "/usr/bin/dpkg", "/usr/bin/perl"] {
        assert_eq!(agent.why(program)["judgement"]["verdict"], "allow", "{program}: {}", agent.why(program)["sentence"]);
    }
    assert!(lab.run(&["dpkg", "--version"]).success());
}
