//! Status and automatic allow follow from what hosts and threat intelligence say, and from nothing else.

use doorward_cms::allowlist::Failed;
use doorward_policy::{AutoAllow, Decision, NoAnswer, Scope, Status, StatusReason};
use doorward_proto::uplink::VerdictDecision;
use serde_json::json;

use crate::support::{Found, TestCms, file, known, malicious, suspicious, unknown};

#[tokio::test]
async fn a_file_nobody_vouches_for_is_unverified_until_ti_answers() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([Found::new("/opt/a", "a")]).await;
    let row = cms.row("a").await;
    assert_eq!((row.status, row.reason), (Status::Unverified, StatusReason::Pending));
    let waiting = cms.store.verdicts(web.id, &[file("a")]).await.unwrap();
    assert!(!waiting[0].is_final);
    cms.ti_says("a", malicious(3, "Linux.Trojan.X")).await;
    let row = cms.row("a").await;
    assert_eq!((row.status, row.reason, row.threat_score), (Status::Threat, StatusReason::Malicious, Some(8)));
    assert_eq!(row.threat_name.as_deref(), Some("Linux.Trojan.X"));
    let verdict = &cms.store.verdicts(web.id, &[file("a")]).await.unwrap()[0];
    assert!(verdict.is_final);
    assert_eq!((verdict.status, verdict.decision, verdict.threat_score), (Status::Threat, VerdictDecision::Deny, Some(8)));
    assert!(verdict.change_id > waiting[0].change_id);
}

#[tokio::test]
async fn a_threat_is_in_every_profiles_policy() {
    let cms = TestCms::new().await;
    let other = cms.store.create_profile("other", "other", "test", cms.now()).await.unwrap().id;
    cms.host("web-1").await.finds([Found::new("/opt/a", "a")]).await;
    cms.ti_says("a", malicious(5, "Linux.Trojan.X")).await;
    for profile in [cms.profile, other] {
        let listing = cms.allowlist.policies().current(profile).await.unwrap().lookup_file(&file("a"));
        assert_eq!(listing.threat.map(|threat| threat.threat_level), Some(Some(5)));
    }
    cms.ti_says("a", known(1)).await;
    assert_eq!(cms.policy_on("a").await.threat, None);
}

#[tokio::test]
async fn what_ti_trusts_is_allowed_at_once_where_it_was_met_outside_the_reference_scan() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    cms.ti_says("a", known(2)).await;
    let decision = cms.row("a").await.decision.unwrap();
    assert_eq!((decision.decision, decision.draft, decision.by.as_deref()), (Decision::Allowed, false, Some("safe")));
    assert_eq!(cms.policy_on("a").await.allowed_by_rule, Some(Scope::Profile));
}

#[tokio::test]
async fn what_ti_knows_from_doubtful_sources_is_not_allowed() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    for (name, answer) in [("three", known(3)), ("none", doorward_policy::Reputation { trust_factor: None, ..known(0) })] {
        web.executes("/opt/x", name).await;
        cms.ti_says(name, answer).await;
        assert_eq!(cms.row(name).await.decision, None, "{name}");
        assert_eq!(cms.row(name).await.status, Status::Unverified, "{name}");
    }
}

#[tokio::test]
async fn a_lower_threshold_lets_fewer_through() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_safe": 0 })).await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    web.executes("/opt/b", "b").await;
    cms.ti_says_all(&[("a", known(0)), ("b", known(1))]).await;
    assert!(cms.row("a").await.decision.is_some());
    assert_eq!(cms.row("b").await.decision, None);
    assert_eq!(cms.row("b").await.status, Status::Safe, "what people see does not depend on the threshold");
}

#[tokio::test]
async fn unknown_files_are_allowed_only_as_the_setting_says() {
    let cases = [
        ("never", [None, None, None, None]),
        ("reference_scan", [Some(AutoAllow::UnknownInReferenceScan), None, None, None]),
        ("reference_scan_and_exec", [Some(AutoAllow::UnknownInReferenceScan), None, None, Some(AutoAllow::UnknownInExec)]),
    ];
    for (setting, [in_reference, in_user_folder, in_scan, in_exec]) in cases {
        let cms = TestCms::new().await;
        cms.with_settings(json!({ "allow_unknown": setting })).await;
        let golden = cms.host("golden").await;
        let scan = golden.scan_requested(&cms).await.id;
        golden
            .finds([
                Found::new("/usr/local/bin/a", "reference").in_scan(scan),
                Found::new("/home/u/a", "user folder").in_scan(scan).in_user_writable_folder(),
                Found::new("/opt/a", "scan"),
                Found::new("/opt/b", "exec").executed(),
            ])
            .await;
        let names = ["reference", "user folder", "scan", "exec"];
        for name in names {
            cms.ti_says(name, unknown()).await;
        }
        for (name, expected) in names.into_iter().zip([in_reference, in_user_folder, in_scan, in_exec]) {
            let decisions = cms.store.decisions(&file(name)).await.unwrap();
            let scope = expected.map(AutoAllow::scope);
            assert_eq!(decisions.first().map(|decision| decision.scope), scope, "{setting}: {name}");
        }
        let on_host = cms.store.verdicts(golden.id, &[file("exec")]).await.unwrap()[0].decision;
        assert_eq!(on_host == VerdictDecision::Allow, in_exec.is_some(), "{setting}");
    }
}

#[tokio::test]
async fn an_unknown_program_is_allowed_on_the_host_that_runs_it_and_nowhere_else() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_unknown": "reference_scan_and_exec" })).await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    web.executes("/opt/a", "a").await;
    db.finds([Found::new("/opt/a", "a")]).await;
    cms.ti_says("a", unknown()).await;
    let decision = async |host| cms.store.verdicts(host, &[file("a")]).await.unwrap()[0].decision;
    assert_eq!(decision(web.id).await, VerdictDecision::Allow);
    assert_eq!(decision(db.id).await, VerdictDecision::Undecided);
    assert_eq!(cms.policy_on("a").await.allowed_by_rule, None, "no policy carries it");
    db.executes("/opt/a", "a").await;
    assert_eq!(decision(db.id).await, VerdictDecision::Allow, "the answer is there already");
}

#[tokio::test]
async fn nothing_flips_on_an_error() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_unknown": "reference_scan_and_exec" })).await;
    let web = cms.host("web-1").await;
    let names = ["safe", "threat", "unknown", "never answered"];
    for name in names {
        web.executes("/opt/x", name).await;
    }
    cms.ti_says_all(&[("safe", known(0)), ("threat", suspicious()), ("unknown", unknown())]).await;
    let mut before = Vec::new();
    for name in &names[..3] {
        before.push((cms.row(name).await, cms.policy_on(name).await, cms.store.decisions(&file(name)).await.unwrap()));
    }
    let failures = names.map(|name| Failed {
        file: file(name),
        error: "server_error".into(),
        no_answer: NoAnswer::ProviderError,
        not_before: Some(cms.now() + 1),
    });
    cms.allowlist.failed(&failures).await.unwrap();
    for (name, before) in names[..3].iter().zip(before) {
        assert_eq!((cms.row(name).await, cms.policy_on(name).await, cms.store.decisions(&file(name)).await.unwrap()), before, "{name}");
    }
    let row = cms.row("never answered").await;
    assert_eq!((row.reason, row.decision), (StatusReason::ProviderError, None));
    let verdict = &cms.store.verdicts(web.id, &[file("never answered")]).await.unwrap()[0];
    assert!(verdict.is_final, "nothing better is on its way for now");
    let detail = cms.detail("never answered").await;
    assert_eq!((detail.lookup.state, detail.lookup.attempts, detail.lookup.last_error.as_deref()), ("queued", 1, Some("server_error")));
}

#[tokio::test]
async fn a_suspicious_file_that_turns_out_well_loses_its_mark_and_keeps_peoples_decisions() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    web.executes("/opt/b", "b").await;
    cms.ti_says_all(&[("a", suspicious()), ("b", suspicious())]).await;
    cms.decide("a", Decision::Denied).await;
    cms.ti_says_all(&[("a", known(0)), ("b", known(0))]).await;
    let (a, b) = (cms.row("a").await, cms.row("b").await);
    assert_eq!((a.status, a.reason), (Status::Threat, StatusReason::DeniedByPerson));
    assert_eq!(a.decision.unwrap().by.as_deref(), Some("ada"));
    assert_eq!((b.status, b.decision.map(|decision| decision.decision)), (Status::Safe, Some(Decision::Allowed)));
}

#[tokio::test]
async fn a_known_file_that_grows_doubtful_loses_its_automatic_allow_and_an_unknown_one_that_becomes_known_keeps_it() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_unknown": "reference_scan" })).await;
    let golden = cms.host("golden").await;
    let scan = golden.scan_requested(&cms).await.id;
    golden.finds([Found::new("/opt/a", "was known").executed(), Found::new("/opt/b", "was unknown").in_scan(scan)]).await;
    cms.ti_says_all(&[("was known", known(1)), ("was unknown", unknown())]).await;
    cms.publish().await;
    assert!(cms.policy_on("was unknown").await.allowed_by_rule.is_some());
    cms.ti_says_all(&[("was known", known(4)), ("was unknown", known(4))]).await;
    assert_eq!(cms.policy_on("was known").await.allowed_by_rule, None);
    assert!(cms.policy_on("was unknown").await.allowed_by_rule.is_some(), "it did not turn for the worse");
    cms.ti_says("was unknown", suspicious()).await;
    assert_eq!(cms.policy_on("was unknown").await.allowed_by_rule, None);
}

#[tokio::test]
async fn a_new_host_with_a_file_that_is_answered_already_gets_its_verdict_without_a_question() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.finds([Found::new("/opt/a", "a")]).await;
    cms.ti_says("a", malicious(1, "X")).await;
    let db = cms.host("db-1").await;
    let ingested = db.finds([Found::new("/opt/a", "a")]).await;
    let verdicts = cms.store.verdicts(db.id, &ingested.files).await.unwrap();
    assert_eq!((verdicts[0].status, verdicts[0].is_final), (Status::Threat, true));
    assert_eq!(cms.store.stats(cms.now()).await.unwrap().lookups_queued, 0);
}

#[tokio::test]
async fn hosts_that_hold_a_changed_file_can_catch_up_on_it_and_others_never_see_it() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    web.finds([Found::new("/opt/a", "a"), Found::new("/opt/b", "b")]).await;
    db.finds([Found::new("/opt/b", "b")]).await;
    let since = async |host, cursor| {
        let page = cms.store.verdicts_after(host, cursor, 10).await.unwrap();
        (page.verdicts.into_iter().map(|verdict| verdict.file).collect::<Vec<_>>(), page.cursor)
    };
    // Nothing changed so far, so a host that was told nothing is told of its files anew each time.
    cms.ti_says("a", malicious(1, "X")).await;
    let (_, of_web) = since(web.id, Default::default()).await;
    let (_, of_db) = since(db.id, Default::default()).await;
    cms.ti_says("a", suspicious()).await;
    cms.ti_says("b", known(0)).await;
    let (told, of_web) = since(web.id, of_web).await;
    assert_eq!(told, [file("a"), file("b")]);
    assert_eq!(since(db.id, of_db).await.0, [file("b")]);
    assert!(since(web.id, of_web).await.0.is_empty());
}

#[tokio::test]
async fn a_threats_new_name_is_told_to_hosts_that_hold_it() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    cms.ti_says("a", malicious(4, "Linux.Old.Name")).await;
    let cursor = cms.store.verdicts_after(web.id, Default::default(), 10).await.unwrap().cursor;
    let mut wakes = cms.signals.subscribe();
    cms.ti_says("a", malicious(4, "Linux.New.Name")).await;
    let wake = wakes.next().await;
    assert_eq!((wake.who, wake.what), (doorward_cms::signals::Who::Host(web.id), doorward_cms::signals::What::Verdicts));
    let told = cms.store.verdicts_after(web.id, cursor, 10).await.unwrap().verdicts;
    assert_eq!(told[0].threat_name.as_deref(), Some("Linux.New.Name"));
}

#[tokio::test]
async fn a_drafted_allow_of_an_unknown_file_goes_when_ti_comes_to_doubt_it() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_unknown": "reference_scan" })).await;
    let golden = cms.host("golden").await;
    let scan = golden.scan_requested(&cms).await.id;
    golden.finds([Found::new("/opt/a", "a").in_scan(scan)]).await;
    cms.ti_says("a", unknown()).await;
    assert!(cms.row("a").await.decision.unwrap().draft);
    cms.ti_says("a", known(5)).await;
    assert_eq!(cms.row("a").await.decision, None);
    assert_eq!(cms.publish().await.allowed, 0);
    assert_eq!(cms.policy_on("a").await.allowed_by_rule, None);
}
