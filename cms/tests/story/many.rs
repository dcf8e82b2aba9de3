//! A person decides on many files at once: all of them in one revision, but for what is left out and told.

use std::collections::BTreeSet;

use doorward_cms::allowlist::{Because, LeftOut};
use doorward_cms::profile::GLOBAL;
use doorward_cms::store::{Decided, FileDecisions, PageRequest};
use doorward_policy::{Decision, Fit, ProfileId, Scope, Sha256, Status};

use crate::support::{Found, TestCms, file, malicious};

/// More than one statement takes.
const MANY: usize = 600;

/// Files that nobody has met.
fn made_up() -> BTreeSet<Sha256> {
    (0..MANY).map(|number| file(&format!("made up {number}"))).collect()
}

async fn decide(cms: &TestCms, files: &BTreeSet<Sha256>, owner: ProfileId, decision: Decision) -> (Decided, Vec<LeftOut>) {
    let decisions = FileDecisions { files: files.clone(), owner, decision, comment: Some("a list".into()) };
    cms.allowlist.decide_files(&decisions, "ada").await.unwrap()
}

#[tokio::test]
async fn many_files_are_denied_in_one_revision_with_one_row_in_the_audit_log() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    let policies = cms.allowlist.policies();
    let before = policies.current(cms.profile).await.unwrap();
    let mut files = made_up();
    files.insert(file("a"));
    let (decided, left_out) = decide(&cms, &files, cms.profile, Decision::Denied).await;
    assert_eq!((decided, left_out), (Decided { decided: 601, unchanged: 0 }, vec![]));
    assert_eq!(cms.revision().await, before.head().revision + 1);
    let policy = policies.current(cms.profile).await.unwrap();
    for file in &files {
        assert_eq!(policy.lookup_file(file).denied_by_person, Some(Scope::Profile));
    }
    let delta = policies.delta(cms.profile, before.head().position()).await.unwrap().expect("a step that fits a message");
    assert!(before.apply_delta(&delta, &cms.verifier()).unwrap() == *policy);
    assert_eq!(cms.detail("a").await.row.status, Status::Threat);
    let rows = cms.store.audit(&PageRequest::default()).await.unwrap().items;
    let row = &rows[0];
    assert_eq!((row.action.as_str(), row.actor.as_str(), row.after.as_deref()), ("files.decide", "ada", Some("denied")));
    assert_eq!((row.target.clone(), row.comment.as_deref()), (format!("601 files in {}", cms.profile), Some("a list")));
    assert_eq!(rows.iter().filter(|row| row.action == "files.decide").count(), 1);
    assert_eq!(cms.store.broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn what_stands_already_is_not_written_again() {
    let cms = TestCms::new().await;
    let files = made_up();
    decide(&cms, &files, GLOBAL, Decision::Denied).await;
    let revision = cms.revision().await;
    let (again, _) = decide(&cms, &files, GLOBAL, Decision::Denied).await;
    assert_eq!(again, Decided { decided: 0, unchanged: MANY as u64 });
    assert_eq!(cms.revision().await, revision);
    let mut more = files.clone();
    more.insert(file("new"));
    assert_eq!(decide(&cms, &more, GLOBAL, Decision::Denied).await.0, Decided { decided: 1, unchanged: MANY as u64 });
    // Only what a person decided is there to be taken back.
    more.insert(file("never decided"));
    assert_eq!(decide(&cms, &more, GLOBAL, Decision::Undecided).await.0, Decided { decided: MANY as u64 + 1, unchanged: 1 });
    assert_eq!(cms.allowlist.policies().current(cms.profile).await.unwrap().records().len(), 0);
}

#[tokio::test]
async fn what_hosts_cannot_do_without_is_not_denied_with_the_rest() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds([
        Found::new("/usr/bin/dash", "dash").of_package("dash", Fit::Match),
        Found::new("/bin/sh", "trojan").of_package("dash", Fit::Modified),
    ])
    .await;
    let files = ["dash", "trojan", "worm"].map(file).into();
    let (decided, left_out) = decide(&cms, &files, cms.profile, Decision::Denied).await;
    assert_eq!(decided, Decided { decided: 2, unchanged: 0 });
    assert_eq!(left_out.len(), 1);
    assert_eq!((left_out[0].file, left_out[0].because), (file("dash"), Because::Closure));
    assert!(left_out[0].detail.contains("web-1") && left_out[0].detail.contains("/usr/bin/dash"), "{left_out:?}");
    assert_eq!(cms.policy_on("dash").await.denied_by_person, None);
    assert_eq!(cms.policy_on("trojan").await.denied_by_person, Some(Scope::Profile));
}

#[tokio::test]
async fn a_threat_is_not_allowed_with_the_rest() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    web.executes("/opt/b", "b").await;
    cms.ti_says("a", malicious(4, "Linux.Trojan.X")).await;
    let files = ["a", "b", "c"].map(file).into();
    let (decided, left_out) = decide(&cms, &files, cms.profile, Decision::Allowed).await;
    assert_eq!(decided, Decided { decided: 2, unchanged: 0 });
    assert_eq!((left_out.len(), left_out[0].file, left_out[0].because), (1, file("a"), Because::Threat));
    assert_eq!(cms.policy_on("a").await.allowed_by_person, None);
    assert_eq!(cms.policy_on("b").await.allowed_by_person, Some(Scope::Profile));
    // By itself it can be, and may be denied with others at any time.
    cms.decide("a", Decision::Allowed).await;
    assert_eq!(decide(&cms, &files, cms.profile, Decision::Denied).await.0, Decided { decided: 3, unchanged: 0 });
}
