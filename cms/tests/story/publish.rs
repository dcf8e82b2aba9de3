//! Settings, lists and what the reference scan found wait as drafts; a person publishes them, and one revision holds them all.

use doorward_policy::{Decision, Mode, PathBytes, Status};
use doorward_proto::uplink::CoverageKind;
use serde_json::json;

use crate::support::{Found, TestCms, known, unknown};

#[tokio::test]
async fn settings_mean_nothing_until_they_are_published() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let before = cms.store.host_settings(web.id).await.unwrap().unwrap();
    cms.draft(json!({ "mode": "protect", "coverage": "exec_and_open", "exclusions": ["/srv/mail"], "kill_on_bad_verdict": true })).await;
    assert_eq!(cms.store.host_settings(web.id).await.unwrap().unwrap(), before);
    let difference = cms.store.difference("default").await.unwrap().unwrap();
    let changed: Vec<_> = difference.settings.iter().map(|change| change.setting.as_str()).collect();
    assert_eq!(changed, ["coverage", "exclusions", "kill_on_bad_verdict", "mode"]);
    assert_eq!(cms.publish().await.settings, 4);
    let after = cms.store.host_settings(web.id).await.unwrap().unwrap();
    assert_eq!((after.mode, after.coverage, after.revision), (Mode::Protect, CoverageKind::ExecAndOpen, before.revision + 1));
    assert!(after.kill_on_bad_verdict && !before.kill_on_bad_verdict);
    assert!(cms.store.difference("default").await.unwrap().unwrap().settings.is_empty());
    for alone in [
        json!({ "kill_on_bad_verdict": false }),
        json!({ "trusted_mounts": ["/home", "/srv/tools"] }),
        json!({ "interpreters": ["sh:.sh"] }),
        json!({ "open_exclusions": ["/srv/db"] }),
    ] {
        let before = cms.store.host_settings(web.id).await.unwrap().unwrap();
        cms.with_settings(alone.clone()).await;
        let after = cms.store.host_settings(web.id).await.unwrap().unwrap();
        assert_eq!(after.revision, before.revision + 1, "hosts are told of {alone}");
    }
    let trusted = cms.store.host_settings(web.id).await.unwrap().unwrap().trusted_mounts;
    assert_eq!(trusted, [PathBytes::new("/home"), PathBytes::new("/srv/tools")]);
}

#[tokio::test]
async fn a_hosts_own_mode_stands_above_its_profiles() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let _ = cms.store.set_host_mode(web.id, Some(Mode::Protect), "ada", cms.now()).await.unwrap();
    let own = cms.store.host_settings(web.id).await.unwrap().unwrap();
    cms.with_settings(json!({ "mode": "disabled" })).await;
    assert_eq!(cms.store.host_settings(web.id).await.unwrap().unwrap().mode, Mode::Protect);
    let _ = cms.store.set_host_mode(web.id, None, "ada", cms.now()).await.unwrap();
    let profiles = cms.store.host_settings(web.id).await.unwrap().unwrap();
    assert_eq!(profiles.mode, Mode::Disabled);
    assert!(profiles.revision > own.revision);
}

#[tokio::test]
async fn trust_rules_are_part_of_the_signed_policy() {
    let cms = TestCms::new().await;
    let before = cms.allowlist.policies().current(cms.profile).await.unwrap();
    assert!(before.rules().allow_new_packages);
    cms.with_settings(json!({ "allow_new_packages": false })).await;
    let after = cms.allowlist.policies().current(cms.profile).await.unwrap();
    assert!(!after.rules().allow_new_packages);
    assert_eq!(after.head().revision, before.head().revision + 1);
    let delta = cms.allowlist.policies().delta(cms.profile, before.head().position()).await.unwrap().unwrap();
    assert!(before.apply_delta(&delta, &cms.verifier()).unwrap() == *after);
}

#[tokio::test]
async fn what_the_reference_scan_found_is_allowed_when_the_profile_is_published() {
    let cms = TestCms::new().await;
    let golden = cms.host("golden").await;
    let scan = golden.scan_requested(&cms).await.id;
    golden.finds([Found::new("/opt/a", "a").in_scan(scan), Found::new("/opt/b", "b").in_scan(scan)]).await;
    cms.ti_says_all(&[("a", known(1)), ("b", unknown())]).await;
    let row = cms.row("a").await;
    assert!(row.decision.unwrap().draft);
    assert_eq!(row.status, Status::Safe);
    assert_eq!(cms.policy_on("a").await.allowed_by_rule, None);
    cms.draft(json!({ "allow_unknown": "reference_scan" })).await;
    let difference = cms.store.difference("default").await.unwrap().unwrap();
    assert_eq!((difference.allowed, difference.withdrawn), (2, 0));
    let published = cms.publish().await;
    assert_eq!((published.allowed, published.settings), (2, 1));
    for name in ["a", "b"] {
        assert!(cms.policy_on(name).await.allowed_by_rule.is_some(), "{name}");
        assert!(!cms.row(name).await.decision.unwrap().draft, "{name}");
    }
}

#[tokio::test]
async fn a_drafted_allow_comes_into_force_by_itself_when_the_file_is_met_otherwise() {
    let cms = TestCms::new().await;
    let golden = cms.host("golden").await;
    let scan = golden.scan_requested(&cms).await.id;
    golden.finds([Found::new("/opt/a", "a").in_scan(scan)]).await;
    cms.ti_says("a", known(0)).await;
    assert!(cms.row("a").await.decision.unwrap().draft);
    cms.host("web-1").await.executes("/opt/a", "a").await;
    assert!(!cms.row("a").await.decision.unwrap().draft);
    assert!(cms.policy_on("a").await.allowed_by_rule.is_some());
}

#[tokio::test]
async fn switching_a_rule_off_withdraws_what_it_allowed_and_nothing_else() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_unknown": "reference_scan_and_exec" })).await;
    let golden = cms.host("golden").await;
    let scan = golden.scan_requested(&cms).await.id;
    golden
        .finds([
            Found::new("/opt/a", "unknown").in_scan(scan),
            Found::new("/opt/b", "safe").executed(),
            Found::new("/opt/c", "own").executed(),
        ])
        .await;
    cms.ti_says_all(&[("unknown", unknown()), ("safe", known(0)), ("own", unknown())]).await;
    cms.publish().await;
    cms.decide("person's", Decision::Allowed).await;
    cms.draft(json!({ "allow_unknown": "never" })).await;
    assert_eq!(cms.store.difference("default").await.unwrap().unwrap().withdrawn, 1);
    let published = cms.publish().await;
    assert_eq!(published.withdrawn, 2, "the profile's and the host's own");
    assert_eq!(cms.policy_on("unknown").await.allowed_by_rule, None);
    assert!(cms.store.decisions(&crate::support::file("own")).await.unwrap().is_empty());
    assert!(cms.policy_on("safe").await.allowed_by_rule.is_some());
    assert!(cms.policy_on("person's").await.allowed_by_person.is_some());
}

#[tokio::test]
async fn publishing_nothing_makes_no_revision() {
    let cms = TestCms::new().await;
    let before = cms.revision().await;
    assert_eq!(cms.publish().await.revision, before);
    assert!(cms.allowlist.publish("nonesuch", "ada").await.unwrap().is_none());
}

#[tokio::test]
async fn a_profile_made_late_starts_with_what_holds_globally() {
    let cms = TestCms::new().await;
    cms.decide_globally("worm", Decision::Denied).await;
    let late = cms.store.create_profile("late", "late", "test", cms.now()).await.unwrap().id;
    let policy = cms.allowlist.policies().current(late).await.unwrap();
    assert!(policy.lookup_file(&crate::support::file("worm")).denied_by_person.is_some());
    cms.decide_globally("worm", Decision::Undecided).await;
    let policy = cms.allowlist.policies().current(late).await.unwrap();
    assert_eq!(policy.records().len(), 0);
}

#[tokio::test]
async fn names_and_tags_of_profiles_are_taken_once() {
    let cms = TestCms::new().await;
    for (name, tag) in [("default", "new"), ("new", "default")] {
        let refused = cms.store.create_profile(name, tag, "ada", cms.now()).await.unwrap_err();
        assert!(refused.to_string().contains("default"), "{refused}");
    }
}
