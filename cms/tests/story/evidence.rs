//! What a host proves concerns that host: its word takes nothing from the others, and goes when the host goes.

use doorward_cms::allowlist::{DecideError, Unblockable};
use doorward_cms::incident::{Detail, Kind};
use doorward_cms::profile::GLOBAL;
use doorward_cms::store::{FileDecision, NamedSource, SourceDecision};
use doorward_policy::{Decision, Fit, PackageManager, PathBytes, Status, StatusReason};
use doorward_proto::report::{ReportBody, Turned};
use doorward_proto::uplink::{Verdict, VerdictDecision};
use serde_json::json;

use crate::support::{Found, TestCms, TestHost, file, known, malicious, unknown};

async fn deny_nmap(cms: &TestCms) {
    let source = NamedSource::Package { manager: PackageManager::Dpkg, name: "nmap".into() };
    let decision = SourceDecision { source, versions: None, owner: cms.profile, decision: Decision::Denied, comment: None };
    cms.allowlist.decide_source(&decision, "ada").await.unwrap();
    cms.publish().await;
}

async fn verdict(cms: &TestCms, host: &TestHost, content: &str) -> Verdict {
    cms.store.verdicts(host.id, &[file(content)]).await.unwrap().remove(0)
}

/// Everything the host would be told on a stream it opened now.
async fn catch_up(cms: &TestCms, host: &TestHost) -> Vec<Verdict> {
    let (mut cursor, mut told) = (Default::default(), Vec::new());
    loop {
        let page = cms.store.verdicts_after(host.id, cursor, 100).await.unwrap();
        told.extend(page.verdicts);
        cursor = page.cursor;
        if page.is_last {
            return told;
        }
    }
}

#[tokio::test]
async fn one_hosts_package_makes_a_threat_of_the_file_there_and_nowhere_else() {
    let cms = TestCms::new().await;
    let (web, evil) = (cms.host("web-1").await, cms.host("evil").await);
    deny_nmap(&cms).await;
    web.executes("/opt/tool", "tool").await;
    cms.ti_says("tool", known(0)).await;
    evil.finds([Found::new("/x", "tool").of_package("nmap", Fit::NoDigest)]).await;

    let row = cms.row("tool").await;
    assert_eq!((row.status, row.reason), (Status::Threat, StatusReason::PackageNotAllowed), "people see it");
    assert_eq!(cms.detail("tool").await.denied_on, ["evil"], "and where");
    assert!(cms.policy_on("tool").await.allowed_by_rule.is_some(), "what the others run by stays");
    assert_eq!(cms.policy_on("tool").await.threat, None);
    assert_eq!(verdict(&cms, &web, "tool").await.reason, "known");
    assert_eq!(verdict(&cms, &evil, "tool").await.reason, "package_not_allowed");

    let _ = cms.store.remove_host(evil.id, "ada", cms.now()).await.unwrap();
    let row = cms.row("tool").await;
    assert_eq!((row.status, row.reason, row.hosts), (Status::Safe, StatusReason::Known, 1), "the proof went with the host");
    assert!(cms.detail("tool").await.denied_on.is_empty());
}

#[tokio::test]
async fn what_ti_says_is_told_to_hosts_whose_file_another_host_made_a_threat() {
    let cms = TestCms::new().await;
    let (web, evil) = (cms.host("web-1").await, cms.host("evil").await);
    deny_nmap(&cms).await;
    evil.finds([Found::new("/x", "tool").of_package("nmap", Fit::NoDigest)]).await;
    web.executes("/opt/tool", "tool").await;
    let cursor = cms.store.verdicts_after(web.id, Default::default(), 100).await.unwrap().cursor;
    cms.ti_says("tool", known(0)).await;
    assert_eq!(cms.row("tool").await.reason, StatusReason::PackageNotAllowed, "what people see is what it was");
    let told = cms.store.verdicts_after(web.id, cursor, 100).await.unwrap().verdicts;
    assert_eq!(told.iter().map(|verdict| verdict.reason.as_str()).collect::<Vec<_>>(), ["known"]);
}

#[tokio::test]
async fn a_proof_goes_when_the_same_host_brings_another_for_the_same_place() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    deny_nmap(&cms).await;
    let golden = web.scan_requested(&cms).await.id;
    web.finds([Found::new("/opt/tool", "tool").of_package("nmap", Fit::Match).in_scan(golden)]).await;
    assert_eq!(cms.row("tool").await.reason, StatusReason::PackageNotAllowed);
    web.finds([Found::new("/opt/tool", "tool").executed()]).await;
    let row = cms.row("tool").await;
    assert_eq!(row.reason, StatusReason::Pending);
    assert_eq!(row.sources.words().collect::<Vec<_>>(), ["reference_scan", "exec"], "how it was met stays");
}

#[tokio::test]
async fn an_execution_with_a_denied_package_earns_no_allow_even_on_its_own_host() {
    let cms = TestCms::new().await;
    cms.with_settings(json!({ "allow_unknown": "reference_scan_and_exec" })).await;
    let (web, evil) = (cms.host("web-1").await, cms.host("evil").await);
    deny_nmap(&cms).await;
    web.executes("/opt/tool", "tool").await;
    evil.finds([Found::new("/x", "tool").of_package("nmap", Fit::NoDigest).executed()]).await;
    cms.ti_says("tool", unknown()).await;
    assert_eq!(verdict(&cms, &web, "tool").await.decision, VerdictDecision::Allow);
    assert_eq!(verdict(&cms, &evil, "tool").await.decision, VerdictDecision::Undecided);
}

#[tokio::test]
async fn an_incident_tells_what_the_host_itself_proved() {
    let cms = TestCms::new().await;
    let (web, evil) = (cms.host("web-1").await, cms.host("evil").await);
    deny_nmap(&cms).await;
    evil.finds([Found::new("/x", "tool").of_package("nmap", Fit::NoDigest)]).await;
    web.executes("/opt/tool", "tool").await;
    let incident = cms.open_incident(Kind::NewProcess).await;
    let Detail::Execution(execution) = incident.detail else { panic!("{incident:?}") };
    assert_eq!((incident.host.as_deref(), execution.reason), (Some("web-1"), StatusReason::Pending));
}

#[tokio::test]
async fn one_hosts_claim_of_the_c_library_keeps_nobody_from_denying_a_worm() {
    let cms = TestCms::new().await;
    let (evil, _web) = (cms.host("evil").await, cms.host("web-1").await);
    for nth in 0..20 {
        evil.finds([Found::new(&format!("/tmp/worm-{nth}"), "worm").of_package("libc6", Fit::Match)]).await;
    }
    cms.decide_globally("worm", Decision::Denied).await;
    assert!(cms.policy_on("worm").await.denied_by_person.is_some());
}

#[tokio::test]
async fn several_hosts_or_the_reference_host_are_believed_about_the_c_library() {
    let deny = |owner| FileDecision { file: file("libc"), owner, decision: Decision::Denied, comment: None };
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    let other = cms.store.create_profile("other", "other", "test", cms.now()).await.unwrap().id;
    let libc = || Found::new("/usr/lib/libc.so.6", "libc").of_package("libc6:amd64", Fit::Match);
    web.finds([libc()]).await;
    db.finds([libc()]).await;
    for owner in [cms.profile, GLOBAL] {
        let refused = cms.allowlist.decide_file(&deny(owner), "ada").await.unwrap_err();
        assert!(matches!(refused, DecideError::Unblockable(Unblockable::File { .. })), "{refused}");
    }
    cms.allowlist.decide_file(&deny(other), "ada").await.expect("no host of that profile says so");

    let cms = TestCms::new().await;
    let (golden, _web) = (cms.host("golden").await, cms.host("web-1").await);
    golden.scan_requested(&cms).await;
    golden.finds([libc()]).await;
    cms.allowlist.decide_file(&deny(cms.profile), "ada").await.unwrap_err();
}

#[tokio::test]
async fn a_host_that_never_met_a_file_cannot_say_that_it_turned() {
    let turned = || Turned { file: file("tool"), paths: vec![PathBytes::new("/lies")], live: Vec::new(), last_executed_at: Some(1) };
    let cms = TestCms::new().await;
    let (web, evil) = (cms.host("web-1").await, cms.host("evil").await);
    web.finds([Found::new("/opt/tool", "tool")]).await;
    cms.ti_says("tool", known(0)).await;
    evil.report([ReportBody::Turned(turned())]).await;
    web.report([ReportBody::Turned(turned())]).await;
    assert!(cms.open_incidents().await.is_empty(), "it did not turn");

    cms.ti_says("tool", malicious(5, "Linux.Worm")).await;
    evil.report([ReportBody::Turned(turned())]).await;
    let Detail::Turn(turn) = cms.open_incident(Kind::VerdictTurned).await.detail else { panic!() };
    assert_eq!(turn.hosts.iter().map(|holder| holder.host.as_str()).collect::<Vec<_>>(), ["web-1"]);
    let incident = cms.open_incident(Kind::VerdictTurned).await.id;
    cms.store.acknowledge_incident(incident, "ada", None, cms.now()).await.unwrap();
    evil.report([ReportBody::Turned(turned())]).await;
    assert!(cms.open_incidents().await.is_empty());
    web.report([ReportBody::Turned(turned())]).await;
    cms.open_incident(Kind::VerdictTurned).await;
}

#[tokio::test]
async fn reports_of_a_removed_host_are_not_taken_and_it_is_not_counted() {
    let cms = TestCms::new().await;
    let (web, gone) = (cms.host("web-1").await, cms.host("gone").await);
    web.finds([Found::new("/opt/a", "a")]).await;
    gone.finds([Found::new("/opt/a", "a"), Found::new("/srv/a", "a")]).await;
    let _ = cms.store.remove_host(gone.id, "ada", cms.now()).await.unwrap();
    let row = cms.row("a").await;
    assert_eq!((row.hosts, row.path_count), (1, 1));
    let late = gone.executes("/opt/late", "late").await;
    assert_eq!((late.watermark, late.files.len()), (2, 0), "nothing is acknowledged");
    assert!(cms.store.file(&file("late"), None, cms.now()).await.unwrap().is_none());
    assert!(cms.open_incidents().await.is_empty());
}

#[tokio::test]
async fn a_host_that_was_told_nothing_is_told_of_all_its_files_and_of_no_other() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    let contents: Vec<String> = (0..5000).map(|nth| format!("file {nth}")).collect();
    for (nth, chunk) in contents.chunks(500).enumerate() {
        let host = if nth % 2 == 0 { &web } else { &db };
        host.finds(chunk.iter().map(|content| Found::new(&format!("/opt/{content}"), content))).await;
        let answers: Vec<_> = chunk.iter().map(|content| (content.as_str(), known(0))).collect();
        cms.ti_says_all(&answers).await;
    }
    for (host, parity) in [(&web, 0), (&db, 1)] {
        let mut told: Vec<_> = catch_up(&cms, host).await.into_iter().map(|verdict| verdict.file).collect();
        told.sort_unstable();
        let mut own: Vec<_> = contents.chunks(500).skip(parity).step_by(2).flatten().map(|content| file(content)).collect();
        own.sort_unstable();
        assert!(told == own, "{} told, {} held", told.len(), own.len());
    }
}

#[tokio::test]
async fn a_look_that_finds_nothing_is_not_repeated_over_the_same_changes() {
    let cms = TestCms::new().await;
    let (web, idle) = (cms.host("web-1").await, cms.host("idle").await);
    web.finds([Found::new("/opt/a", "a")]).await;
    cms.ti_says("a", known(0)).await;
    let first = cms.store.verdicts_after(idle.id, Default::default(), 10).await.unwrap();
    cms.ti_says("a", known(4)).await;
    let second = cms.store.verdicts_after(idle.id, first.cursor, 10).await.unwrap();
    assert!(first.is_last && second.is_last && second.verdicts.is_empty());
    assert_ne!(second.cursor, first.cursor, "it went past what concerns others");
    assert_eq!(cms.store.verdicts_after(idle.id, second.cursor, 10).await.unwrap().cursor, second.cursor);
}
