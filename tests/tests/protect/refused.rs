//! A kernel that refuses to have executions held: the host detects and says so everywhere.

use doorward_tests::site::{Site, eventually, sha256};

use crate::{CANARY_LIMIT, failing, minimal};

#[test]
fn a_host_that_cannot_hold_executions_detects_and_says_so() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: python3 is not installed");
    }
    let Some(lab) = minimal() else { return };
    let site = Site::start();
    let mut agent = lab.agent(&site);
    agent.protects(&site, "deny");
    agent.kill();
    agent.run_where_nothing_can_be_held();
    let status = eventually("it says that nothing is held", || {
        let status = agent.ask(&["status"]).ok()?;
        let told = status["coverage"]["uncovered"].as_array()?.iter().any(|entry| entry["mount_point"] == "(protection)");
        (told && status["connected"] == true).then_some(status)
    });
    assert!(status["failures"]["protect_refused"].as_u64().is_some_and(|count| count > 0), "{status}");
    assert!(!agent.holds_executions() && agent.log().contains("can only detect"), "{}", agent.log());
    let program = failing("met where nothing can be held");
    lab.add_program("/opt/unknown", &program);
    assert_eq!(lab.run(&["/opt/unknown"]).refusal(), None, "it is watched and not held");
    eventually("the CMS hears of it", || site.file(&sha256(&program)));
    eventually("the CMS has an incident", || {
        let incidents = site.cms_says(&["incident", "list", "--open"]);
        let lost = incidents["items"].as_array()?.iter().find(|incident| incident["kind"] == "coverage_lost")?.clone();
        lost["detail"].to_string().contains("(protection)").then_some(())
    });
    lab.assert_alive_within(CANARY_LIMIT);
    agent.kill();
    agent.run();
    eventually("it protects again where it can", || agent.holds_executions().then_some(()));
}
