//! People decide, and hosts learn of it.

use doorward_tests::site::{Site, eventually, sha256, unheard_of};
use doorward_tests::ti::RecordStatus;

#[test]
fn an_allow_reaches_the_host_and_so_does_its_withdrawal() {
    let site = Site::start();
    let tool = unheard_of("tool");
    let name = sha256(&tool).to_string();
    let host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let _ = site.cms_says(&["file", "allow", &name, "--profile", "default", "--comment", "needed for backups"]);
    let why = host.judged("opt/tool", "allowed_by_person");
    assert_eq!(why["judgement"]["verdict"], "allow");
    let _ = site.cms_says(&["file", "deny", &name, "--profile", "default", "--comment", "no longer"]);
    let why = host.judged("opt/tool", "denied_by_person");
    assert_eq!(why["status"]["status"], "threat");
    let _ = site.cms_says(&["file", "reset", &name, "--profile", "default"]);
    let _ = host.judged("opt/tool", "nothing");
}

#[test]
fn a_deny_beats_an_allow_of_another_scope() {
    let site = Site::start();
    let tool = unheard_of("tool");
    let name = sha256(&tool).to_string();
    let host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let _ = site.cms_says(&["file", "allow", &name, "--profile", "default"]);
    let _ = host.judged("opt/tool", "allowed_by_person");
    let _ = site.cms_says(&["file", "deny", &name, "--global"]);
    let _ = host.judged("opt/tool", "denied_by_person");
}

#[test]
fn a_person_may_run_a_threat_but_it_stays_one() {
    let site = Site::start();
    let tool = unheard_of("tool");
    site.ti_says(&sha256(&tool), RecordStatus::Suspicious, 2);
    let host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let file = site.file_with_reason(&sha256(&tool), "suspicious");
    assert_eq!((&file["status"], &file["threat_score"]), (&"threat".into(), &7.into()));
    let _ = host.judged("opt/tool", "threat");
    let _ = site.cms_says(&["file", "allow", &sha256(&tool).to_string(), "--profile", "default", "--comment", "our own packer"]);
    let why = host.judged("opt/tool", "allowed_by_person");
    assert_eq!(why["status"]["status"], "threat", "{why}");
    assert_eq!(site.file(&sha256(&tool)).unwrap()["status"], "threat");
}

#[test]
fn a_denied_package_makes_its_files_threats_without_a_look_up() {
    let site = Site::start();
    let game = unheard_of("game");
    let host = site.host("web-1").with_package("nethack", &[("usr/bin/nethack", &game)]).enrolled().running();
    let _ = host.reference_scan(&site);
    assert_eq!(host.why("usr/bin/nethack")["judgement"]["row"], "package");
    let _ = site.cms_says(&["package", "deny", "nethack", "--manager", "dpkg", "--profile", "default"]);
    let _ = site.ask(&["profile", "publish", "default"]);
    let _ = host.judged("usr/bin/nethack", "package_not_allowed");
    let file = site.file_with_reason(&sha256(&game), "package_not_allowed");
    assert_eq!(file["status"], "threat");
    assert_eq!(site.asked(&sha256(&game)), 0, "an explicit denial needs no look-up");
}

#[test]
fn what_a_host_learned_holds_while_the_cms_is_away() {
    let mut site = Site::start();
    let tool = unheard_of("tool");
    let mut host = site.host("web-1").with_file("opt/tool", &tool).enrolled().running();
    let _ = host.reference_scan(&site);
    let _ = site.cms_says(&["file", "deny", &sha256(&tool).to_string(), "--profile", "default"]);
    let _ = host.judged("opt/tool", "denied_by_person");
    // The verdict may be there before the policy, which is what is kept without a daemon.
    let revision = site.cms_says(&["profile", "show", "default"])["revision"].clone();
    eventually("the policy is there", || (host.status()["policy"]["revision"] == revision).then_some(()));
    site.stop();
    assert_eq!(host.why("opt/tool")["judgement"]["row"], "denied_by_person");
    host.stop();
    let why = host.why("opt/tool");
    assert_eq!((&why["judgement"]["row"], &why["offline"]), (&"denied_by_person".into(), &true.into()), "{why}");
}

#[test]
fn refusals_of_the_command_line_say_what_to_do() {
    let site = Site::start();
    let error = site.ask(&["file", "allow", "not-a-digest", "--profile", "default"]).unwrap_err();
    assert!(error.contains("sha256") || error.contains("64"), "{error}");
    let error = site.ask(&["file", "allow", &"0".repeat(64), "--profile", "nowhere"]).unwrap_err();
    assert!(error.contains("nowhere"), "{error}");
    let error = site.ask(&["profile", "show", "nowhere"]).unwrap_err();
    assert!(error.contains("nowhere"), "{error}");
}
