//! What hosts report is kept once, whatever they send again.

use doorward_cms::store::{FileDetail, PageRequest, StoredScanState};
use doorward_policy::{Fit, PathBytes, ScanId, Sha256};
use doorward_proto::report::{Coverage, Health, Inventory, InventorySource, ReportBody, Source};
use doorward_proto::uplink::{CommandBody, ScanProgress, ScanState};

use crate::support::{Found, HOUR, NOON, TestCms, host::package};

fn counts(detail: &FileDetail) -> Vec<(String, u64)> {
    detail.observations.iter().map(|observation| (observation.path.to_string(), observation.count)).collect()
}

#[tokio::test]
async fn the_same_reports_sent_again_change_nothing() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let reports = [
        web.next(ReportBody::Observation(Found::new("/opt/a", "a").0)),
        web.next(ReportBody::Observation(Found::new("/opt/a", "a").executed().0)),
    ];
    assert_eq!(web.send(&reports).await.watermark, 2);
    let before = cms.detail("a").await;
    let again = web.send(&reports).await;
    assert_eq!(again.watermark, 2);
    assert!(again.files.is_empty());
    assert_eq!(counts(&cms.detail("a").await), counts(&before));
    assert_eq!(counts(&before), [("/opt/a".to_owned(), 2)]);
    assert_eq!(before.executions.len(), 1);
}

#[tokio::test]
async fn a_batch_that_was_half_taken_is_taken_to_its_end() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let reports: Vec<_> = ["a", "b", "c"].map(|name| web.next(ReportBody::Observation(Found::new("/opt/x", name).0))).into();
    web.send(&reports[..2]).await;
    let rest = web.send(&reports).await;
    assert_eq!(rest.watermark, 3);
    assert_eq!(rest.files, [crate::support::file("c")]);
}

#[tokio::test]
async fn a_new_store_epoch_counts_from_the_start() {
    let cms = TestCms::new().await;
    let mut web = cms.host("web-1").await;
    let first = web.next(ReportBody::Observation(Found::new("/opt/a", "a").0));
    web.send(std::slice::from_ref(&first)).await;
    web.epoch = [8; 16];
    assert_eq!(cms.store.watermark(web.id, &[8; 16]).await.unwrap(), 0);
    assert_eq!(web.send(&[first]).await.watermark, 1);
    assert_eq!(cms.store.watermark(web.id, &[7; 16]).await.unwrap(), 1);
    assert_eq!(counts(&cms.detail("a").await), [("/opt/a".to_owned(), 2)]);
}

#[tokio::test]
async fn one_file_at_many_paths_and_hosts_is_one_file_and_one_question() {
    let cms = TestCms::new().await;
    let (web, db) = (cms.host("web-1").await, cms.host("db-1").await);
    web.finds([Found::new("/opt/a", "a"), Found::new("/srv/a", "a"), Found::new("/srv/b", "b")]).await;
    db.finds([Found::new("/opt/a", "a")]).await;
    let row = cms.row("a").await;
    assert_eq!((row.path_count, row.hosts), (2, 2));
    let stats = cms.store.stats(cms.now()).await.unwrap();
    assert_eq!((stats.files, stats.observations, stats.lookups_queued, stats.unverified), (2, 4, 2, 2));
}

#[tokio::test]
async fn any_bytes_are_a_path_and_are_shown_escaped() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let mut found = Found::new("/", "a");
    found.0.path = PathBytes::new(b"/tmp/\xff\n\x1b[2J".as_slice());
    web.finds([found]).await;
    let detail = cms.detail("a").await;
    assert_eq!(detail.observations[0].path.as_bytes(), b"/tmp/\xff\n\x1b[2J");
    let shown = serde_json::to_string(&detail).unwrap();
    assert!(shown.contains(r"/tmp/\\xff\\n\\x1b[2J"), "{shown}");
}

#[tokio::test]
async fn absurd_claims_are_kept_within_what_can_be_added_up() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    for _ in 0..3 {
        let mut found = Found::new("/opt/a", "a").executed();
        (found.0.count, found.0.first_observed_at, found.0.last_observed_at) = (u64::MAX, i64::MIN, i64::MAX);
        found.0.file.size = u64::MAX;
        web.finds([found]).await;
    }
    let source = |modified| InventorySource {
        source: Source::Package(package("bash", Fit::Match)),
        files: u64::MAX,
        executed: 0,
        modified,
        scanned: true,
    };
    web.report([ReportBody::Inventory(Inventory { sources: vec![source(u64::MAX), source(1)], complete: true })]).await;
    assert_eq!(cms.detail("a").await.observations[0].count, 3 * u64::from(u32::MAX));
    let sources = cms.store.sources(&Default::default(), &PageRequest::default()).await.unwrap().items;
    assert_eq!((sources[0].seen.files, sources[0].seen.modified), (u64::from(u32::MAX), 1));
}

#[tokio::test]
async fn the_history_of_executions_is_bounded_and_the_count_is_not() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    for nth in 0..40 {
        web.finds([Found::new("/opt/a", "a").executed().at(NOON + nth)]).await;
    }
    let detail = cms.detail("a").await;
    assert_eq!(detail.executions.len(), 16);
    assert_eq!(detail.executions[0].at, NOON + 39);
    assert_eq!(detail.observations[0].count, 40);
    assert_eq!(detail.row.last_executed_at, Some(NOON + 39));
}

#[tokio::test]
async fn only_a_scan_the_cms_asked_for_on_the_reference_host_is_a_reference_scan() {
    let cms = TestCms::new().await;
    let (golden, other) = (cms.host("golden").await, cms.host("other").await);
    let scan = golden.scan_requested(&cms).await;
    assert!(scan.reference);
    golden.finds([Found::new("/opt/a", "a").in_scan(scan.id)]).await;
    other.finds([Found::new("/opt/b", "b").in_scan(scan.id)]).await;
    golden.finds([Found::new("/opt/c", "c").in_scan(ScanId::new(uuid::Uuid::from_u128(5)))]).await;
    let words = |row: doorward_cms::store::ListingRow| row.sources.words().collect::<Vec<_>>();
    assert_eq!(words(cms.row("a").await), ["reference_scan"]);
    assert_eq!(words(cms.row("b").await), ["scan"]);
    assert_eq!(words(cms.row("c").await), ["scan"]);
    let plain = other.scan_requested(&cms).await;
    assert!(!plain.reference, "the profile has another reference host");
}

#[tokio::test]
async fn a_scan_that_ended_brings_no_more_reference_findings() {
    let cms = TestCms::new().await;
    let (golden, other) = (cms.host("golden").await, cms.host("other").await);
    let scan = golden.scan_requested(&cms).await;
    let mut progress = ScanProgress {
        scan: scan.id,
        files: 10,
        files_total: 10,
        candidates: 2,
        bytes: 3,
        package_trusted: 1,
        otherwise_trusted: 0,
        unresolved: 1,
        skipped: 0,
        elapsed_ms: 5,
        state: ScanState::Done,
    };
    cms.store.scan_progress(other.id, &progress, cms.now()).await.unwrap();
    assert_eq!(cms.store.scan(scan.id).await.unwrap().unwrap().state, StoredScanState::Requested, "another host's word");
    cms.store.scan_progress(golden.id, &progress, cms.now()).await.unwrap();
    progress.state = ScanState::Running;
    cms.store.scan_progress(golden.id, &progress, cms.now()).await.unwrap();
    assert_eq!(cms.store.scan(scan.id).await.unwrap().unwrap().state, StoredScanState::Done, "it ended");
    golden.finds([Found::new("/opt/late", "late").in_scan(scan.id)]).await;
    assert_eq!(cms.row("late").await.sources.words().collect::<Vec<_>>(), ["scan"]);
}

#[tokio::test]
async fn commands_are_sent_until_they_are_answered_and_only_by_their_own_host() {
    let cms = TestCms::new().await;
    let (golden, other) = (cms.host("golden").await, cms.host("other").await);
    let scan = golden.scan_requested(&cms).await;
    let due = cms.store.commands_due(golden.id, 10).await.unwrap();
    assert!(
        matches!(&due[..], [command] if matches!(&command.body, CommandBody::StartScan(start) if start.scan == scan.id && start.reference))
    );
    cms.store.command_done(other.id, due[0].id, None, cms.now()).await.unwrap();
    assert_eq!(cms.store.commands_due(golden.id, 10).await.unwrap(), due);
    cms.store.command_done(golden.id, due[0].id, Some("a scan is under way"), cms.now()).await.unwrap();
    assert!(cms.store.commands_due(golden.id, 10).await.unwrap().is_empty());
    let scan = cms.store.scan(scan.id).await.unwrap().unwrap();
    assert_eq!((scan.state, scan.error.as_deref()), (StoredScanState::Failed, Some("a scan is under way")));
}

#[tokio::test]
async fn a_complete_inventory_forgets_what_it_does_not_name() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let inventory = |name: &str, complete| {
        let source =
            InventorySource { source: Source::Package(package(name, Fit::Match)), files: 3, executed: 1, modified: 0, scanned: true };
        ReportBody::Inventory(Inventory { sources: vec![source], complete })
    };
    web.report([inventory("bash", true), inventory("nmap", false)]).await;
    web.report([inventory("curl", true)]).await;
    let sources = cms.store.sources(&Default::default(), &PageRequest::default()).await.unwrap().items;
    let held: Vec<_> = sources.iter().map(|row| (row.source.name(), row.seen.hosts)).collect();
    assert_eq!(held, [("curl", 1)]);
}

#[tokio::test]
async fn health_and_coverage_are_kept_as_last_told() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    let coverage = Coverage { covered: vec![PathBytes::new("/")], uncovered: Vec::new(), user_namespaces: true };
    let health = |pending| ReportBody::Health(Health { pending, dropped: 0, failures: Vec::new() });
    web.report([health(5), ReportBody::Coverage(coverage.clone()), health(7)]).await;
    let host = cms.store.host(web.id).await.unwrap().unwrap();
    assert_eq!(host.coverage, Some(coverage));
    assert_eq!(host.health.unwrap().pending, 7);
}

#[tokio::test]
async fn what_was_kept_is_there_when_the_database_is_opened_again() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.executes("/opt/a", "a").await;
    cms.store.close().await;
    let store = doorward_cms::store::Store::open(&cms.dir.path().join("cms.sqlite")).await.unwrap();
    assert_eq!(store.watermark(web.id, &web.epoch).await.unwrap(), 1);
    assert!(store.file(&crate::support::file("a"), None, NOON).await.unwrap().is_some());
    assert_eq!(store.broken_audit_row().await.unwrap(), None);
}

#[tokio::test]
async fn a_listing_comes_in_pages_that_leave_nothing_out() {
    let cms = TestCms::new().await;
    let web = cms.host("web-1").await;
    web.finds((0..25).map(|nth| Found::new(&format!("/opt/{nth}"), &format!("file {nth}")))).await;
    cms.ti_says("file 3", crate::support::malicious(5, "Linux.Trojan.X")).await;
    cms.ti_says("file 4", crate::support::known(0)).await;
    cms.clock.advance(HOUR);
    let filter = doorward_cms::store::ListingFilter { profile: cms.profile, status: None };
    let (mut page, mut files) = (PageRequest { limit: 4, after: None }, Vec::<Sha256>::new());
    loop {
        let part = cms.store.listing(&filter, &page).await.unwrap();
        files.extend(part.items.iter().map(|row| row.sha256));
        let Some(next) = part.next else { break };
        page.after = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(files.len(), 25);
    assert_eq!((files[0], files[24]), (crate::support::file("file 3"), crate::support::file("file 4")), "threats first, safe last");
    files.sort_unstable();
    files.dedup();
    assert_eq!(files.len(), 25);
}

#[tokio::test]
async fn a_scan_a_former_reference_host_began_is_a_reference_scan_no_more() {
    let cms = TestCms::new().await;
    let (old, new) = (cms.host("old").await, cms.host("new").await);
    let scan = old.scan_requested(&cms).await;
    assert!(scan.reference);
    cms.with_settings(serde_json::json!({ "reference_host": new.id.to_string() })).await;
    old.finds([Found::new("/opt/worm", "worm").in_scan(scan.id)]).await;
    assert_eq!(cms.row("worm").await.sources.words().collect::<Vec<_>>(), ["scan"]);
}

#[tokio::test]
async fn after_the_reference_host_was_removed_the_next_host_scanned_takes_its_place() {
    let cms = TestCms::new().await;
    let (old, new) = (cms.host("old").await, cms.host("new").await);
    old.scan_requested(&cms).await;
    assert!(!new.scan_requested(&cms).await.reference);
    let _ = cms.store.remove_host(old.id, "ada", cms.now()).await.unwrap();
    let scan = new.scan_requested(&cms).await;
    assert!(scan.reference);
    let profile = cms.store.profile("default").await.unwrap().unwrap();
    assert_eq!((profile.draft.reference_host, profile.published.reference_host), (Some(new.id), Some(new.id)));
    new.finds([Found::new("/opt/a", "a").in_scan(scan.id)]).await;
    assert_eq!(cms.row("a").await.sources.words().collect::<Vec<_>>(), ["reference_scan"]);
}

#[tokio::test]
async fn epochs_a_host_makes_up_are_not_remembered_without_end() {
    let cms = TestCms::new().await;
    let mut web = cms.host("web-1").await;
    for nth in 0..40 {
        cms.clock.advance(1);
        web.epoch = [nth; 16];
        web.report([ReportBody::Health(Health::default())]).await;
    }
    let mut remembered = 0;
    for nth in 0..40 {
        remembered += usize::from(cms.store.watermark(web.id, &[nth; 16]).await.unwrap() > 0);
    }
    assert_eq!(remembered, 8);
    assert!(cms.store.watermark(web.id, &[39; 16]).await.unwrap() > 0, "the newest is one of them");
}
