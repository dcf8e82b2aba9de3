//! People decide: at once, over every rule, in the open, and never against what hosts cannot do without.

use doorward_cms::allowlist::{DecideError, Unblockable};
use doorward_cms::signals::{What, Who};
use doorward_cms::store::{FileDecision, PageRequest};
use doorward_policy::{Decision, Fit, Scope, Status, StatusReason};
use doorward_proto::snapshot::Position;
use doorward_proto::uplink::VerdictDecision;

use crate::support::{Found, TestCms, file, known, malicious};

#[tokio::test]
async fn a_deny_is_in_the_policy_at_once_and_makes_the_file_a_threat() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    cms.ti_says("a", known(0)).await;
    let before = cms.revision().await;
    let mut wakes = cms.signals.subscribe();
    cms.decide("a", Decision::Denied).await;
    assert_eq!(cms.revision().await, before + 1);
    let listing = cms.policy_on("a").await;
    assert_eq!((listing.denied_by_person, listing.allowed_by_rule), (Some(Scope::Profile), None));
    let row = cms.row("a").await;
    assert_eq!((row.status, row.reason), (Status::Threat, StatusReason::DeniedByPerson));
    let first = wakes.next().await;
    assert_eq!((first.who, first.what), (Who::Profile(cms.profile), What::Policy));
    let second = wakes.next().await;
    assert_eq!((second.who, second.what), (Who::Host(web.id), What::Verdicts));
    assert_eq!(cms.store.verdicts(web.id, &[file("a")]).await.unwrap()[0].decision, VerdictDecision::Deny);
}

#[tokio::test]
async fn an_allowed_threat_runs_and_still_is_called_a_threat() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    cms.ti_says("a", malicious(4, "Linux.Trojan.X")).await;
    cms.decide("a", Decision::Allowed).await;
    let row = cms.row("a").await;
    assert_eq!((row.status, row.threat_score), (Status::Threat, Some(9)));
    assert_eq!(row.decision.unwrap().decision, Decision::Allowed);
    let listing = cms.policy_on("a").await;
    assert_eq!(listing.allowed_by_person, Some(Scope::Profile));
    assert!(listing.threat.is_some());
    let verdict = &cms.store.verdicts(web.id, &[file("a")]).await.unwrap()[0];
    assert_eq!((verdict.status, verdict.decision), (Status::Threat, VerdictDecision::Undecided), "the signed policy says that it may run");
    assert!(cms.detail("a").await.judgement.unwrap().would_change.iter().any(|way| way.contains("review the allow")));
}

#[tokio::test]
async fn a_reset_gives_the_file_back_to_the_rules() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.executes("/opt/a", "a").await;
    cms.ti_says("a", known(0)).await;
    cms.decide("a", Decision::Denied).await;
    cms.decide("a", Decision::Undecided).await;
    let row = cms.row("a").await;
    assert_eq!(row.status, Status::Safe);
    assert_eq!(row.decision.unwrap().by.as_deref(), Some("safe"));
    let listing = cms.policy_on("a").await;
    assert_eq!((listing.denied_by_person, listing.allowed_by_rule), (None, Some(Scope::Profile)));
}

#[tokio::test]
async fn a_global_deny_beats_a_profiles_allow_everywhere() {
    let cms = TestCms::new().await;
    let other = cms.store.create_profile("other", "other", "test", cms.now()).await.unwrap().id;
    cms.host("web-1").await.executes("/opt/a", "a").await;
    cms.decide("a", Decision::Allowed).await;
    cms.decide_globally("a", Decision::Denied).await;
    let row = cms.row("a").await;
    assert_eq!((row.status, row.decision.unwrap().scope), (Status::Threat, Scope::Global));
    for profile in [cms.profile, other] {
        let listing = cms.allowlist.policies().current(profile).await.unwrap().lookup_file(&file("a"));
        assert_eq!(listing.denied_by_person, Some(Scope::Global));
    }
    assert_eq!(cms.policy_on("a").await.allowed_by_person, Some(Scope::Profile), "both stand; which counts is for the judge");
}

#[tokio::test]
async fn a_file_can_be_denied_before_any_host_meets_it() {
    let cms = TestCms::new().await;
    cms.decide("worm", Decision::Denied).await;
    assert_eq!(cms.policy_on("worm").await.denied_by_person, Some(Scope::Profile));
    assert_eq!(cms.store.stats(cms.now()).await.unwrap().lookups_queued, 0, "nobody met it, so nobody is asked");
    assert_eq!(cms.detail("worm").await.row.kind, None);
    let web = cms.host("web-1").await;
    let ingested = web.executes("/opt/w", "worm").await;
    assert_eq!(cms.store.verdicts(web.id, &ingested.files).await.unwrap()[0].decision, VerdictDecision::Deny);
    assert_eq!(cms.store.stats(cms.now()).await.unwrap().lookups_queued, 1);
}

#[tokio::test]
async fn a_deny_of_the_shell_is_refused_with_the_reason() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([
        Found::new("/usr/bin/dash", "dash").of_package("dash", Fit::Match),
        Found::new("/bin/sh", "trojan").of_package("dash", Fit::Modified),
    ])
    .await;
    let deny = |content| FileDecision { file: file(content), owner: cms.profile, decision: Decision::Denied, comment: None };
    let refused = cms.allowlist.decide_file(&deny("dash"), "ada").await.unwrap_err();
    assert!(matches!(&refused, DecideError::Unblockable(Unblockable::File { host, .. }) if host == "web-1"), "{refused}");
    assert_eq!(cms.policy_on("dash").await.denied_by_person, None);
    cms.allowlist.decide_file(&deny("trojan"), "ada").await.unwrap();
}

#[tokio::test]
async fn every_decision_is_in_the_audit_log_and_the_log_cannot_be_edited_unseen() {
    let cms = TestCms::new().await;
    cms.decide("a", Decision::Denied).await;
    cms.decide("a", Decision::Allowed).await;
    let rows = cms.store.audit(&PageRequest::default()).await.unwrap().items;
    let newest = &rows[0];
    assert_eq!((newest.actor.as_str(), newest.action.as_str()), ("ada", "file.decide"));
    assert_eq!((newest.before.as_deref(), newest.after.as_deref()), (Some("denied"), Some("allowed")));
    assert_eq!(cms.store.broken_audit_row().await.unwrap(), None);
    let path = cms.dir.path().join("cms.sqlite");
    let editor = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    sqlx::query("UPDATE audit SET actor = 'mallory' WHERE id = 2").execute(&editor).await.unwrap();
    assert_eq!(cms.store.broken_audit_row().await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_delta_from_any_earlier_revision_leads_to_the_newest_policy() {
    let cms = TestCms::new().await;
    let policies = cms.allowlist.policies();
    let mut revisions = vec![policies.current(cms.profile).await.unwrap()];
    for (content, decision) in [
        ("a", Decision::Denied),
        ("b", Decision::Allowed),
        ("a", Decision::Allowed),
        ("b", Decision::Undecided),
        ("c", Decision::Denied),
        ("c", Decision::Undecided),
    ] {
        cms.decide(content, decision).await;
        revisions.push(policies.current(cms.profile).await.unwrap());
    }
    let newest = revisions.last().unwrap().clone();
    let verifier = cms.verifier();
    for earlier in &revisions[..revisions.len() - 1] {
        let delta = policies.delta(cms.profile, earlier.head().position()).await.unwrap().expect("a small step");
        let stepped = earlier.apply_delta(&delta, &verifier).unwrap();
        assert!(stepped == *newest, "from {:?}", earlier.head().position());
    }
    let from = |revision| Position { epoch: newest.head().epoch, revision };
    assert_eq!(policies.delta(cms.profile, from(newest.head().revision)).await.unwrap(), None, "nothing to step to");
    assert_eq!(policies.delta(cms.profile, from(999)).await.unwrap(), None, "never published");
    assert_eq!(policies.delta(cms.profile, Position { epoch: 1, revision: 1 }).await.unwrap(), None, "another line");
}

#[tokio::test]
async fn a_policy_read_anew_is_the_one_that_was_stepped_to() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    let policies = cms.allowlist.policies();
    policies.current(cms.profile).await.unwrap();
    cms.ti_says("a", malicious(2, "X")).await;
    cms.decide("b", Decision::Allowed).await;
    cms.decide_globally("a", Decision::Denied).await;
    let stepped = policies.current(cms.profile).await.unwrap();
    let anew = cms.fresh_policies().current(cms.profile).await.unwrap();
    assert!(*stepped == *anew);
    assert_eq!(stepped.records().len(), 3);
}
