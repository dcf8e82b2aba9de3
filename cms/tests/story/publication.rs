//! Publishing a large profile: in steps that let reports in between, as one revision for hosts, and to its end whatever happens half-way.

use std::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

use doorward_cms::store::Store;
use doorward_policy::Decision;
use serde_json::json;
use sqlx::Row as _;

use crate::support::{Found, TestCms, TestHost, known, malicious, unknown};

const FILES: usize = 3000;

fn name(nth: usize) -> String {
    format!("file {nth}")
}

/// Files TI does not know, found by the reference scan; the settings that would allow them are drafted.
async fn with_many_files(cms: &TestCms) -> TestHost {
    let golden = cms.host("golden").await;
    let scan = golden.scan_requested(cms).await.id;
    let names: Vec<String> = (0..FILES).map(name).collect();
    for chunk in names.chunks(500) {
        golden.finds(chunk.iter().map(|name| Found::new(&format!("/opt/{name}"), name).in_scan(scan))).await;
        let answers: Vec<_> = chunk.iter().map(|name| (name.as_str(), unknown())).collect();
        cms.ti_says_all(&answers).await;
    }
    cms.draft(json!({ "allow_unknown": "reference_scan", "mode": "disabled", "allow_new_packages": false })).await;
    golden
}

/// Files that are still to be marked.
async fn left(db: &sqlx::SqlitePool) -> i64 {
    sqlx::query("SELECT count(*) AS files FROM remark").fetch_one(db).await.unwrap().get("files")
}

/// Begins to publish and is cut off after some steps, as by a kill.
async fn cut_half_way(cms: &TestCms, db: &sqlx::SqlitePool) {
    let store = cms.store.clone();
    let now = cms.now();
    let publishing = TaskTracker::new().spawn(async move { store.publish("default", "ada", now).await.map(drop) });
    let deadline = Instant::now() + Duration::from_secs(60);
    while !(1..FILES as i64).contains(&left(db).await) {
        assert!(Instant::now() < deadline && !publishing.is_finished(), "it was never seen half-way");
        tokio::task::yield_now().await;
    }
    publishing.abort();
    publishing.await.unwrap_err();
    assert!(left(db).await > 0, "it was cut too late");
}

async fn allowed(cms: &TestCms) -> usize {
    cms.allowlist.policies().current(cms.profile).await.unwrap().records().len()
}

#[tokio::test]
async fn hosts_get_all_of_a_publication_or_nothing_and_it_is_finished_after_a_crash() {
    let cms = TestCms::new().await;
    let golden = with_many_files(&cms).await;
    let db = sqlx::SqlitePool::connect(&format!("sqlite:{}", cms.dir.path().join("cms.sqlite").display())).await.unwrap();
    let (revision, settings) = (cms.revision().await, cms.store.host_settings(golden.id).await.unwrap());
    cut_half_way(&cms, &db).await;
    assert_eq!((cms.revision().await, allowed(&cms).await), (revision, 0));

    // Other things come into force meanwhile, without a part of the publication.
    cms.decide("worm", Decision::Denied).await;
    let policy = cms.allowlist.policies().current(cms.profile).await.unwrap();
    assert_eq!((policy.head().revision, policy.records().len()), (revision + 1, 1));
    assert!(policy.rules().allow_new_packages);
    assert_eq!(cms.store.host_settings(golden.id).await.unwrap(), settings);

    let store = Store::open(&cms.dir.path().join("cms.sqlite")).await.unwrap();
    let effect = store.take_up(cms.now()).await.unwrap();
    assert!(effect.policies.contains(&cms.profile) && effect.profile_settings.contains(&cms.profile));
    let policy = cms.allowlist.policies().current(cms.profile).await.unwrap();
    assert_eq!((policy.head().revision, policy.records().len()), (revision + 2, FILES + 1), "one revision holds it all");
    assert!(!policy.rules().allow_new_packages);
    assert_ne!(cms.store.host_settings(golden.id).await.unwrap(), settings);
    assert_eq!(cms.publish().await.allowed, 0, "nothing is left");
    let newest = &cms.store.audit(&Default::default()).await.unwrap().items[0];
    assert_eq!((newest.action.as_str(), newest.actor.as_str()), ("profile.publish", "ada"));
    assert!(*cms.fresh_policies().current(cms.profile).await.unwrap() == *policy);
}

#[tokio::test]
async fn what_is_learnt_while_a_publication_is_under_way_stands_above_it() {
    let cms = TestCms::new().await;
    with_many_files(&cms).await;
    let db = sqlx::SqlitePool::connect(&format!("sqlite:{}", cms.dir.path().join("cms.sqlite").display())).await.unwrap();
    cut_half_way(&cms, &db).await;
    let mut names: Vec<_> = (0..FILES).map(name).collect();
    names.sort_by_key(|name| crate::support::file(name));
    // The first was marked already, the last was not.
    let (first, second, last) = (names[0].clone(), names[1].clone(), names[FILES - 1].clone());
    cms.ti_says_all(&[(&first, malicious(5, "Linux.Worm")), (&last, malicious(5, "Linux.Worm"))]).await;
    cms.decide(&second, Decision::Denied).await;
    cms.publish().await;
    for threat in [&first, &second, &last] {
        assert_eq!(cms.policy_on(threat).await.allowed_by_rule, None, "{threat}");
    }
    assert!(cms.policy_on(&names[2]).await.allowed_by_rule.is_some());
}

#[tokio::test]
async fn reports_are_taken_while_a_publication_is_under_way() {
    let cms = TestCms::new().await;
    let golden = with_many_files(&cms).await;
    let db = sqlx::SqlitePool::connect(&format!("sqlite:{}", cms.dir.path().join("cms.sqlite").display())).await.unwrap();
    let allowlist = cms.allowlist.clone();
    let publishing = TaskTracker::new().spawn(async move { allowlist.publish("default", "ada").await.unwrap().unwrap() });
    let mut between = 0;
    for nth in 0.. {
        if publishing.is_finished() {
            break;
        }
        golden.executes("/opt/new", &format!("new {nth}")).await;
        between += i64::from(left(&db).await > 0);
    }
    assert_eq!(publishing.await.unwrap().allowed, FILES as u64);
    assert!(between > 0, "no report was taken before the last step");
}

#[tokio::test]
async fn a_second_publication_waits_for_the_first_and_both_are_in_force() {
    let cms = TestCms::new().await;
    with_many_files(&cms).await;
    let (one, two) = tokio::join!(cms.allowlist.publish("default", "ada"), cms.allowlist.publish("global", "ben"));
    assert_eq!(one.unwrap().unwrap().profile, "default");
    assert_eq!(two.unwrap().unwrap().profile, "global");
    assert_eq!(allowed(&cms).await, FILES);
}

#[tokio::test]
async fn publishing_nothing_leaves_no_trace() {
    let cms = TestCms::new().await;
    cms.host("web-1").await.executes("/opt/a", "a").await;
    cms.ti_says("a", known(0)).await;
    let rows = cms.store.audit(&Default::default()).await.unwrap().items.len();
    cms.publish().await;
    let profile = cms.store.profile("default").await.unwrap().unwrap();
    assert_eq!(profile.published_at, None);
    assert_eq!(cms.store.audit(&Default::default()).await.unwrap().items.len(), rows);
}
