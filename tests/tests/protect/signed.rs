//! A profile that asks for signed archives: packages of a repository come and go without a denial, and nothing else earns trust,
//! whatever root writes into databases, keyrings and sources.

use std::time::Duration;

use doorward_tests::lab::{Lab, LabAgent, Packaged, Repository};
use doorward_tests::site::{Site, eventually, sha256};
use nix::errno::Errno;
use serde_json::Value;

use crate::{CANARY_LIMIT, copy_of, debian};

/// Longest an operation of apt takes.
const APT_LIMIT: Duration = Duration::from_secs(300);
/// Longest it takes to fetch and read all packages of a small Debian.
const WITNESS_LIMIT: Duration = Duration::from_secs(900);

const HOOK: &[u8] = include_bytes!("../../../packaging/config/apt.conf.d/10doorward");
const REPOSITORY: &str = "/srv/repository";
const TOOL: &str = "usr/bin/doorward-test-tool";
/// Runs what was unpacked a moment ago, as real packages do.
const SCRIPT: &str = "#!/bin/sh\nset -e\n/usr/bin/doorward-test-tool\nexit 0\n";
/// Starts the tool without end and tells every end that is neither good nor "not there".
const LOAD: &str = "n=0; while [ ! -e /tmp/stop ]; do /usr/bin/doorward-test-tool >/dev/null 2>&1; s=$?; \
    case $s in 0|127) ;; *) echo \"ended with $s\" ;; esac; n=$((n + 1)); done; echo \"ran $n\"";

fn cycles() -> u32 {
    if std::env::var_os("DOORWARD_TEST_LONG").is_some() { 1000 } else { 1 }
}

/// What apt said; it must have gone well and nothing in it been refused.
fn apt(lab: &Lab, arguments: &[&str], while_it_runs: impl FnOnce()) -> String {
    let mut command = vec!["apt-get", "-q", "-y", "--allow-downgrades"];
    command.extend(arguments);
    let process = lab.spawn(&command);
    while_it_runs();
    let ended = process.ended_within(APT_LIMIT);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(ended.success() && !said.contains("Operation not permitted"), "apt-get {}: {said}", arguments.join(" "));
    said
}

/// A program nobody knows, put where only root may write, does not start.
fn foreign_is_denied(lab: &Lab, round: &str) {
    let path = format!("/usr/bin/foreign-{round}");
    lab.add_program(&path, &copy_of("true", &format!("foreign {round}")));
    let ended = lab.run(&[path.as_str()]);
    assert_eq!(ended.refusal(), Some(Errno::EPERM), "{path}: {ended:?}");
    lab.remove(&path);
}

/// Publishes that signed archives are asked for, of these keys, and waits until the agent protects so.
fn require_signed(site: &Site, agent: &LabAgent<'_>, keys: &[String]) {
    let keys = format!("archive_keys={}", keys.join(","));
    let _ = site.cms_says(&["profile", "set", "default", "package_level=signed", &keys]);
    agent.protects(site, "deny");
}

/// The keys of all repositories that count now.
fn keys_that_count(agent: &LabAgent<'_>) -> Vec<String> {
    let status = agent.ask(&["trust", "status"]).unwrap();
    let mut keys: Vec<String> =
        status["indexes"].as_array().unwrap().iter().map(|index| index["key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    keys.dedup();
    assert!(!keys.is_empty(), "{status}");
    keys
}

fn witness_all(lab: &Lab) -> Value {
    let command = ["/usr/sbin/doorward-agent", "--config", "/etc/doorward/agent.toml", "--json", "trust", "witness"];
    let ended = lab.spawn(&command).ended_within(WITNESS_LIMIT);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn signed_packages_come_and_go_under_load_and_nothing_else_earns_trust() {
    let Some(lab) = debian() else { return };
    let mut repository = match Repository::new("Lab Repository") {
        Ok(repository) => repository,
        Err(reason) => return eprintln!("SKIPPED: {reason}"),
    };
    let site = Site::start();
    let agent = lab.agent(&site);
    lab.package_own_programs(&mut repository);
    let [first, second] = ["first", "second"].map(|version| copy_of("true", version));
    let mut build = |version: &str, content: &[u8]| {
        repository.build(Packaged { name: "doorward-test-tool", version, files: &[(TOOL, content)], script: Some(SCRIPT) })
    };
    let (one, two) = (build("1", &first), build("2", &second));
    repository.publish(&lab, REPOSITORY, &[("doorward-test-tool", "1", &one), ("doorward-test-tool", "2", &two)]);
    let source = format!("deb [signed-by={REPOSITORY}/key.gpg] file:{REPOSITORY} ./\n");
    lab.write("/etc/apt/sources.list.d/lab.list", source.as_bytes(), "644");
    lab.write("/etc/apt/apt.conf.d/10doorward", HOOK, "644");
    apt(&lab, &["update"], || ());

    let witnessed = witness_all(&lab);
    eprintln!("witnessed: {witnessed}");
    assert_eq!(witnessed["refused"], serde_json::json!([]), "{witnessed}");
    let keys = keys_that_count(&agent);
    assert!(keys.contains(&repository.key().to_owned()), "{keys:?}");
    require_signed(&site, &agent, &keys);
    lab.assert_alive_within(CANARY_LIMIT);
    let chain = agent.ask(&["trust", "show", "/usr/bin/dash"]).unwrap();
    assert_eq!((&chain["missing"], &chain["archive"]["package"]), (&Value::Null, &"dash".into()), "{chain}");

    let load = lab.spawn(&["/bin/sh", "-c", LOAD]);
    for cycle in 0..cycles() {
        for (step, arguments) in [
            ("install", &["install", "doorward-test-tool=1"][..]),
            ("upgrade", &["install", "doorward-test-tool=2"]),
            ("downgrade", &["install", "doorward-test-tool=1"]),
            ("remove", &["remove", "doorward-test-tool"]),
        ] {
            apt(&lab, arguments, || foreign_is_denied(&lab, &format!("{cycle}-{step}")));
            if step == "upgrade" {
                assert!(lab.run(&["/usr/bin/doorward-test-tool"]).success());
            }
        }
    }
    lab.write("/tmp/stop", b"", "644");
    let ended = load.ended_within(APT_LIMIT);
    assert!(ended.stdout.starts_with("ran "), "every start was let through: {}", ended.stdout);
    eprintln!("under load: {}", ended.stdout.trim());

    root_edits_the_database(&lab, &site, &agent);
    root_brings_a_repository_of_his_own(&lab, &site, &agent);
    lab.assert_alive_within(CANARY_LIMIT);
    assert!(agent.holds_executions(), "{}", agent.log());
}

/// md5sums that agree with a foreign program bless nothing, and people hear of it.
fn root_edits_the_database(lab: &Lab, site: &Site, agent: &LabAgent<'_>) {
    apt(lab, &["install", "doorward-test-tool=2"], || ());
    let forged = copy_of("true", "forged");
    lab.add_program("/usr/bin/doorward-test-tool", &forged);
    let md5 = lab.run(&["md5sum", "/usr/bin/doorward-test-tool"]).stdout;
    let md5 = md5.split_whitespace().next().unwrap();
    lab.write("/var/lib/dpkg/info/doorward-test-tool.md5sums", format!("{md5}  {TOOL}\n").as_bytes(), "644");
    let chain = eventually("the edited database was read", || {
        let show = ["/usr/sbin/doorward-agent", "--config", "/etc/doorward/agent.toml", "trust", "show", "/usr/bin/doorward-test-tool"];
        let ended = lab.run(&show);
        // A missing link is no success.
        assert!(!ended.success(), "{ended:?}");
        ended.stdout.contains("brings another file").then_some(ended.stdout)
    });
    assert!(chain.contains("doorward-test-tool 2"), "{chain}");
    let ended = lab.run(&["/usr/bin/doorward-test-tool"]);
    assert_eq!(ended.refusal(), Some(Errno::EPERM), "{ended:?}");
    eventually("the archive contradicts the edited database", || {
        let package = &agent.why("/usr/bin/doorward-test-tool")["evidence"]["package"];
        (package["fit"] == "modified" && package["level"] == "signed").then_some(())
    });
    let incident = site.incident("process_modified", &sha256(&forged));
    assert!(incident.to_string().contains("doorward-test-tool"), "{incident}");
}

/// Neither a key of his own among apt's nor `trusted=yes` makes an archive count; apt itself installs it.
fn root_brings_a_repository_of_his_own(lab: &Lab, site: &Site, agent: &LabAgent<'_>) {
    let mut own = Repository::new("Somebody Else").unwrap();
    let program = copy_of("true", "of somebody else");
    let files = [("usr/bin/somebody-elses", program.as_slice())];
    let archive = own.build(Packaged { name: "somebody-elses", version: "1", files: &files, script: None });
    for (folder, source) in [("/srv/keyed", "deb file:/srv/keyed ./\n"), ("/srv/trusted", "deb [trusted=yes] file:/srv/trusted ./\n")] {
        own.publish(lab, folder, &[("somebody-elses", "1", &archive)]);
        lab.write("/etc/apt/sources.list.d/own.list", source.as_bytes(), "644");
        if folder == "/srv/keyed" {
            lab.must(&["cp", "/srv/keyed/key.gpg", "/etc/apt/trusted.gpg.d/own.gpg"]);
        }
        apt(lab, &["update"], || ());
        let said = apt(lab, &["install", "--reinstall", "somebody-elses"], || ());
        assert!(said.contains("stands in no index signed by a key that counts"), "{said}");
        let why = eventually("the database vouches for it", || {
            let why = agent.why("/usr/bin/somebody-elses");
            (why["evidence"]["package"]["fit"] == "match").then_some(why)
        });
        assert_eq!(why["evidence"]["package"]["level"], "database", "{why}");
        assert_eq!(lab.run(&["/usr/bin/somebody-elses"]).refusal(), Some(Errno::EPERM), "{source}");
        assert!(why["steps"].to_string().contains("requires a signed archive"), "{why}");
    }
    let incident = site.incident("new_process", &sha256(&program));
    assert!(incident.to_string().contains("somebody-elses"), "{incident}");
}
