//! A denied program does not start, and everybody can read why.

use doorward_tests::lab::Lab;
use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use doorward_tests::ti::RecordStatus;
use nix::errno::Errno;

use crate::{CANARY_LIMIT, minimal};

/// What happens to the start of a program nobody knows.
fn start_unknown(lab: &Lab, site: &Site, unverified_action: &str) -> Option<Errno> {
    let agent = lab.agent(site);
    agent.protects(site, unverified_action);
    lab.add_program("/opt/unknown", &unheard_of("nobody knows it"));
    let ended = lab.run(&["/opt/unknown"]);
    assert!(ended.refusal().is_some() || ended.success(), "{ended:?}");
    lab.assert_alive_within(CANARY_LIMIT);
    ended.refusal()
}

#[test]
fn a_program_a_person_denied_does_not_start() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let tool = unheard_of("denied");
    lab.add_program("/opt/tool", &tool);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "allow");
    assert!(lab.run(&["/opt/tool"]).success(), "nothing denies it yet");
    agent.decided(&site, "deny", &sha256(&tool), "/opt/tool");
    let ended = lab.run(&["/opt/tool"]);
    assert_eq!(ended.refusal(), Some(Errno::EPERM), "{ended:?}");
    let why = agent.why("/opt/tool");
    assert_eq!((&why["judgement"]["verdict"], &why["response"]), (&"deny".into(), &"deny".into()), "{why}");
    assert!(why["sentence"].as_str().unwrap().contains("denied"), "{why}");
    let known = eventually("the denial is known to the CMS", || {
        let file = site.file(&sha256(&tool))?;
        file.to_string().contains("\"fate\":\"refused\"").then_some(file)
    });
    assert!(known.to_string().contains("/opt/tool"), "{known}");
    agent.decided(&site, "allow", &sha256(&tool), "/opt/tool");
    assert!(lab.run(&["/opt/tool"]).success(), "a decision taken back lets it start again");
}

#[test]
fn a_threat_does_not_start() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let tool = unheard_of("a threat");
    site.ti_says(&sha256(&tool), RecordStatus::Malicious, 5);
    lab.add_program("/opt/tool", &tool);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    let _ = site.file_with_reason(&sha256(&tool), "malicious");
    agent.protects(&site, "allow");
    let _ = agent.judged("/opt/tool", "threat");
    assert_eq!(lab.spawn_as(1000, &["/opt/tool"]).ended().refusal(), Some(Errno::EPERM));
    lab.assert_alive_within(CANARY_LIMIT);
}

#[test]
fn a_denied_program_is_denied_by_any_name_and_from_any_filesystem() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let tool = unheard_of("by any name");
    lab.add_program("/opt/tool", &tool);
    let agent = lab.agent(&site);
    let _ = agent.reference_scan(&site);
    agent.protects(&site, "allow");
    agent.decided(&site, "deny", &sha256(&tool), "/opt/tool");
    lab.must(&["ln", "/opt/tool", "/opt/linked"]);
    lab.must(&["ln", "-s", "/opt/tool", "/opt/symbolic"]);
    lab.must(&["cp", "/opt/tool", "/tmp/copied"]);
    lab.must(&["mv", "/opt/tool", "/opt/moved"]);
    lab.must(&["cp", "/opt/moved", "/opt/tool"]);
    for path in ["/opt/linked", "/opt/symbolic", "/tmp/copied", "/opt/moved", "/opt/tool"] {
        assert_eq!(lab.run(&[path]).refusal(), Some(Errno::EPERM), "{path}");
    }
}

#[test]
fn an_unknown_program_does_not_start_where_the_profile_says_deny() {
    let Some(lab) = minimal() else { return };
    assert_eq!(start_unknown(&lab, &Site::start(), "deny"), Some(Errno::EPERM));
}

#[test]
fn an_unknown_program_starts_where_the_profile_says_allow() {
    let Some(lab) = minimal() else { return };
    assert_eq!(start_unknown(&lab, &Site::start(), "allow"), None);
}

#[test]
fn packaged_programs_start_where_everything_unknown_is_denied() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.install("hello", &[("usr/bin/hello", &unheard_of("of a package"))]);
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    for user in [0, 1000] {
        assert!(lab.spawn_as(user, &["hello"]).ended().success());
        assert!(lab.spawn_as(user, &["sh", "-c", "ls / | sort | head -1 >/dev/null"]).ended().success());
    }
    assert_eq!(agent.why("/usr/bin/hello")["response"], "allow");
}

#[test]
fn a_packaged_program_somebody_changed_does_not_start() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    lab.install("hello", &[("usr/bin/hello", &unheard_of("as packaged"))]);
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    assert!(lab.run(&["hello"]).success());
    lab.add_program("/usr/bin/hello", &unheard_of("changed by hand"));
    assert_eq!(lab.run(&["hello"]).refusal(), Some(Errno::EPERM));
}

#[test]
fn going_back_to_detect_denies_nothing_any_more() {
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let agent = lab.agent(&site);
    agent.protects(&site, "deny");
    lab.add_program("/opt/tool", &unheard_of("tool"));
    assert_eq!(lab.run(&["/opt/tool"]).refusal(), Some(Errno::EPERM));
    let _ = site.cms_says(&["host", "set", agent.id(), "mode=detect"]);
    eventually("it starts", || lab.run(&["/opt/tool"]).success().then_some(()));
    eventually("no permission mark is left", || (!agent.holds_executions()).then_some(()));
}
