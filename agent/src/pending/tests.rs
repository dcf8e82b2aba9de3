//! The store's promises, one story each. Power cuts, kills and full disks need processes and mounts: `agent/tests/`.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use doorward_policy::{Evidence, FileKind, PackageEvidence, PackageManager, PathBytes, Status, Use};
use doorward_proto::report::{
    Coverage, Denial, Fate, FileFacts, Inventory, InventorySource, LiveProcess, Observation, Process, Source, Turned, Unjudged,
};
use doorward_proto::uplink::VerdictDecision;

use super::*;

const MINUTE: i64 = limit::COLLAPSE_WINDOW_US;
const ALL: usize = usize::MAX;

fn mint() -> io::Result<[u8; 16]> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    Ok([NEXT.fetch_add(1, Ordering::Relaxed); 16])
}

/// A store in a folder of its own, on a clock that stands until it is moved.
struct TestStore {
    folder: tempfile::TempDir,
    clock: Clock,
    limits: Limits,
    pending: Option<Pending>,
    recovered: Vec<Recovery>,
}

impl TestStore {
    fn new() -> Self {
        Self::with(Limits { free_bytes_min: 0, ..Limits::default() })
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Self { folder, clock: Clock::standing(1_000_000_000), limits, pending: None, recovered: Vec::new() };
        store.open();
        store
    }

    fn open(&mut self) {
        let options = Options { limits: self.limits, clock: self.clock.clone(), mint_epoch: mint };
        let opened = Pending::open(self.folder.path(), options).unwrap();
        self.pending = Some(opened.pending);
        self.recovered = opened.recovered;
    }

    async fn close(&mut self) {
        self.pending.take().unwrap().close().await;
    }

    async fn reopen(&mut self) {
        self.close().await;
        self.open();
    }

    fn sled(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    async fn all(&self) -> Vec<Report> {
        self.batch(0, ALL, ALL).await.unwrap()
    }
}

impl std::ops::Deref for TestStore {
    type Target = Pending;

    fn deref(&self) -> &Pending {
        self.pending.as_ref().unwrap()
    }
}

fn file(number: u32) -> FileFacts {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    FileFacts {
        sha256: Sha256::new(digest),
        sha1: None,
        md5: None,
        blake3: None,
        size: 10,
        kind: FileKind::ElfExecutable,
        mode: 0o100_755,
        uid: 0,
        gid: 0,
        modified_at: 0,
        changed_at: 0,
    }
}

fn met(number: u32, usage: Use) -> Observation {
    Observation {
        file: file(number),
        path: PathBytes::new(format!("/opt/tool-{number}")),
        usage,
        scan: None,
        first_observed_at: 5,
        last_observed_at: 5,
        count: 1,
        evidence: Evidence::default(),
        process: None,
        user_writable_folder: false,
        layer: None,
    }
}

fn found(number: u32) -> ReportBody {
    ReportBody::Observation(met(number, Use::Scan))
}

fn executed(number: u32, pid: u32, at: i64) -> ReportBody {
    let process = Process { pid, start_ticks: 1, uid: Some(1000), parent_pid: 1, parent_path: None, parent_sha256: None, container: None };
    let met = met(number, Use::Execute);
    ReportBody::Observation(Observation { process: Some(process), first_observed_at: at, last_observed_at: at, ..met })
}

fn count(report: &Report) -> u64 {
    let ReportBody::Observation(observation) = &report.body else { panic!("not an observation: {report:?}") };
    observation.count
}

fn verdict(number: u32, change_id: u64, is_final: bool) -> Verdict {
    Verdict {
        file: file(number).sha256,
        status: Status::Threat,
        reason: "malicious".into(),
        decision: VerdictDecision::Deny,
        threat_score: Some(9),
        threat_name: Some("Linux.Trojan.Mirai".into()),
        is_final,
        change_id,
    }
}

#[tokio::test]
async fn reports_come_back_in_order_after_a_restart_and_leave_with_their_acknowledgement() {
    let mut store = TestStore::new();
    for number in 0..20 {
        store.add(found(number)).await.unwrap();
    }
    let before = store.all().await;
    assert_eq!(before.len(), 20);
    assert!(before.is_sorted_by_key(|report| report.sequence));
    store.reopen().await;
    assert_eq!(store.recovered, []);
    assert_eq!(store.all().await, before);
    assert_eq!(store.gauges().records, 20);

    store.acknowledge(before[11].sequence).await.unwrap();
    assert_eq!(store.all().await, before[12..]);
    assert_eq!(store.batch(before[14].sequence, 2, ALL).await.unwrap(), before[15..17]);
    store.reopen().await;
    assert_eq!(store.gauges().records, 8);
    store.acknowledge(before[19].sequence).await.unwrap();
    let gauges = store.gauges();
    assert_eq!((gauges.records, gauges.bytes), (0, 0));
}

#[tokio::test]
async fn a_batch_ends_soon_after_its_bytes_and_is_never_empty_while_there_is_something() {
    let store = TestStore::new();
    store.add_many((0..10).map(found).collect()).await.unwrap();
    assert_eq!(store.batch(0, ALL, 1).await.unwrap().len(), 1);
    let one = store.gauges().bytes / 10;
    assert_eq!(store.batch(0, ALL, usize::try_from(one * 3).unwrap()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_sequence_is_never_used_twice_even_when_the_store_was_emptied_between() {
    let mut store = TestStore::new();
    store.add(found(1)).await.unwrap();
    let first = store.all().await[0].sequence;
    store.acknowledge(first).await.unwrap();
    let epoch = store.epoch();
    store.reopen().await;
    store.add(found(1)).await.unwrap();
    assert!(store.all().await[0].sequence > first);
    assert_eq!(store.epoch(), epoch);
}

#[tokio::test]
async fn executions_of_one_minute_are_one_report_with_a_count_until_it_is_handed_out() {
    let store = TestStore::new();
    for at in 0..5 {
        store.add(executed(1, 100 + u32::try_from(at).unwrap(), at)).await.unwrap();
    }
    store.add(executed(2, 1, 0)).await.unwrap();
    let reports = store.all().await;
    assert_eq!(reports.iter().map(count).collect::<Vec<_>>(), [5, 1]);
    let ReportBody::Observation(first) = &reports[0].body else { panic!() };
    assert_eq!((first.first_observed_at, first.last_observed_at), (0, 4));
    assert_eq!(first.process.as_ref().unwrap().pid, 100);
}

#[tokio::test]
async fn denials_with_other_fates_are_not_counted_as_one() {
    let store = TestStore::new();
    for fate in [Fate::Refused, Fate::Killed, Fate::Ran, Fate::Killed] {
        let ReportBody::Observation(observation) = executed(1, 7, 5) else { panic!() };
        store.add(ReportBody::Denial(Denial { observation, row: 9, undecided: true, fate })).await.unwrap();
    }
    let told = store.all().await.into_iter().map(|report| {
        let ReportBody::Denial(denial) = report.body else { panic!("{report:?}") };
        (denial.fate, denial.observation.count)
    });
    assert_eq!(told.collect::<Vec<_>>(), [(Fate::Refused, 1), (Fate::Killed, 2), (Fate::Ran, 1)]);
}

#[tokio::test]
async fn what_was_killed_is_not_forgotten_when_the_file_turns_again() {
    let store = TestStore::new();
    let turned = |pids: &[(u32, Fate)]| {
        let process =
            |pid| Process { pid, start_ticks: 1, uid: None, parent_pid: 1, parent_path: None, parent_sha256: None, container: None };
        let live = pids.iter().map(|(pid, fate)| LiveProcess { process: process(*pid), fate: *fate }).collect();
        ReportBody::Turned(Turned { file: Sha256::new([1; 32]), paths: Vec::new(), live, last_executed_at: None })
    };
    let told = [turned(&[(1, Fate::Ran)]), turned(&[(1, Fate::Ran), (2, Fate::Ran)]), turned(&[(1, Fate::Killed)]), turned(&[])];
    for body in told.clone() {
        store.add(body).await.unwrap();
    }
    let kept: Vec<_> = store.all().await.into_iter().map(|report| report.body).collect();
    assert!(kept.contains(&told[2]) && kept.contains(&told[3]), "{kept:?}");
    assert_eq!(kept.len(), 2, "a state takes the place of the one before");
}

#[tokio::test]
async fn executions_nobody_could_judge_are_kept_and_counted_by_path_reason_user_and_fate() {
    let store = TestStore::new();
    let unjudged = |path: &str, uid: Option<u32>, fate, at| {
        let process = Process { pid: 7, start_ticks: 1, uid, parent_pid: 1, parent_path: None, parent_sha256: None, container: None };
        let (path, reason) = (PathBytes::new(path), "digest_changed".to_owned());
        ReportBody::Unjudged(Unjudged { path, process, reason, fate, first_observed_at: at, last_observed_at: at, count: 1 })
    };
    let met = [
        ("/a", Some(1000), Fate::Refused, 5),
        ("/a", Some(1000), Fate::Refused, 9),
        ("/a", Some(1000), Fate::Killed, 5),
        ("/a", Some(0), Fate::Refused, 5),
        ("/a", None, Fate::Refused, 5),
        ("/b", Some(1000), Fate::Refused, 5),
    ];
    for (path, uid, fate, at) in met {
        store.add(unjudged(path, uid, fate, at)).await.unwrap();
    }
    let told = store.all().await.into_iter().map(|report| {
        let ReportBody::Unjudged(unjudged) = report.body else { panic!("{report:?}") };
        (unjudged.path.to_string(), unjudged.process.uid, unjudged.count, unjudged.last_observed_at)
    });
    let expected =
        [("/a", Some(1000), 2, 9), ("/a", Some(1000), 1, 5), ("/a", Some(0), 1, 5), ("/a", None, 1, 5), ("/b", Some(1000), 1, 5)];
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|(path, uid, count, at)| (path.to_owned(), uid, count, at)));
}

#[tokio::test]
async fn what_was_handed_out_keeps_its_content_and_later_executions_come_once_when_the_minute_is_over() {
    let mut store = TestStore::new();
    store.add(executed(1, 1, 0)).await.unwrap();
    let sent = store.all().await;
    for at in 1..=7 {
        store.add(executed(1, 1, at)).await.unwrap();
    }
    assert_eq!(store.all().await, sent, "held back, and the first one unchanged");
    assert_eq!(store.gauges().records, 2);

    store.clock.advance(MINUTE);
    store.add(found(9)).await.unwrap();
    let later = store.batch(sent[0].sequence, ALL, ALL).await.unwrap();
    assert_eq!(later.iter().map(count).collect::<Vec<_>>(), [7, 1]);

    // The next minute is a new report at once, and what is held back survives a restart.
    store.add(executed(1, 1, 90)).await.unwrap();
    let _ = store.all().await;
    store.add(executed(1, 1, 91)).await.unwrap();
    store.reopen().await;
    let total: u64 = store.all().await.iter().map(count).sum();
    assert_eq!(total, 1 + 7 + 1 + 1 + 1);
}

#[tokio::test]
async fn held_executions_are_queued_without_anybody_asking() {
    let store = TestStore::new();
    let mut arrivals = store.arrivals();
    store.add(executed(1, 1, 0)).await.unwrap();
    let sent = store.all().await[0].sequence;
    store.add(executed(1, 1, 1)).await.unwrap();
    arrivals.mark_unchanged();
    store.clock.advance(MINUTE);
    tokio::time::timeout(Duration::from_secs(20), arrivals.changed()).await.unwrap().unwrap();
    assert!(*arrivals.borrow() > sent);
}

#[tokio::test]
async fn after_a_restart_nothing_on_disk_changes_any_more() {
    let mut store = TestStore::new();
    store.add(executed(1, 1, 0)).await.unwrap();
    store.reopen().await;
    store.add(executed(1, 1, 1)).await.unwrap();
    assert_eq!(store.all().await.iter().map(count).collect::<Vec<_>>(), [1, 1], "the first may have been sent by the earlier process");
}

#[tokio::test]
async fn findings_stand_each_for_itself_and_nobody_waits_for_their_verdicts() {
    let store = TestStore::new();
    store.add_many(vec![found(1), found(1), found(2)]).await.unwrap();
    store.add(executed(3, 1, 0)).await.unwrap();
    assert_eq!(store.all().await.iter().map(count).collect::<Vec<_>>(), [1, 1, 1, 1]);
    assert_eq!(store.gauges().awaiting, 1);
}

#[tokio::test]
async fn executions_with_different_evidence_are_not_mixed() {
    let store = TestStore::new();
    let package = |version: &str| PackageEvidence {
        manager: PackageManager::Dpkg,
        name: "coreutils".into(),
        version: version.into(),
        origin: String::new(),
        level: doorward_policy::Level::Database,
        fit: doorward_policy::Fit::Modified,
    };
    for version in ["1", "1", "2"] {
        let evidence = Evidence { package: Some(package(version)), publisher: None };
        store.add(ReportBody::Observation(Observation { evidence, ..met(1, Use::Execute) })).await.unwrap();
    }
    assert_eq!(store.all().await.iter().map(count).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn an_unsent_state_is_replaced_by_the_newer_one() {
    let store = TestStore::new();
    let coverage = |place: &str| ReportBody::Coverage(Coverage { covered: vec![PathBytes::new(place)], ..Coverage::default() });
    store.add(coverage("/")).await.unwrap();
    store.add(coverage("/srv")).await.unwrap();
    let sent = store.all().await;
    assert_eq!(sent.iter().map(|report| &report.body).collect::<Vec<_>>(), [&coverage("/srv")]);
    store.add(coverage("/opt")).await.unwrap();
    assert_eq!(store.all().await.len(), 2);
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_handed_out_is_refused() {
    let mut store = TestStore::new();
    store.add_many((0..3).map(found).collect()).await.unwrap();
    let sent = store.batch(0, 2, ALL).await.unwrap();
    let error = store.acknowledge(sent[1].sequence + 1).await.unwrap_err();
    assert!(matches!(error, PendingError::NotHandedOut { .. }), "{error}");
    assert!(store.acknowledge(u64::MAX).await.is_err());
    assert_eq!(store.gauges().records, 3);
    // A process that was killed after sending may find its reports acknowledged.
    store.reopen().await;
    store.acknowledge(sent[1].sequence + 1).await.unwrap();
    assert_eq!(store.gauges().records, 0);
}

#[tokio::test]
async fn at_the_bound_findings_are_refused_and_executions_push_out_the_oldest_of_them() {
    let mut store = TestStore::with(Limits { records_max: 4, free_bytes_min: 0, ..Limits::default() });
    store.add(executed(100, 1, 0)).await.unwrap();
    store.add_many(vec![found(1), found(2)]).await.unwrap();
    let error = store.add_many(vec![found(3), found(4)]).await.unwrap_err();
    assert_eq!(error.reason(), "pending_full");
    assert_eq!((store.gauges().records, store.gauges().refused), (3, 2), "all or none");

    for number in 101..=103 {
        store.add(executed(number, 1, 0)).await.unwrap();
    }
    let kept: Vec<_> = store.all().await.into_iter().map(|report| report.body).collect();
    assert_eq!(kept, [100, 101, 102, 103].map(|number| executed(number, 1, 0)));
    assert_eq!(store.gauges().dropped, 2);
    assert_eq!(store.add(executed(104, 1, 0)).await.unwrap_err().reason(), "pending_full");
    store.reopen().await;
    assert_eq!(store.gauges().dropped, 2, "the count of dropped reports survives");
}

#[tokio::test]
async fn an_older_verdict_never_replaces_a_newer_one_and_a_final_one_ends_the_waiting() {
    let mut store = TestStore::new();
    store.add_many(vec![executed(1, 1, 0), executed(2, 1, 0)]).await.unwrap();
    assert_eq!(store.gauges().awaiting, 2);
    let taken = store.take_verdicts(vec![verdict(1, 10, false), verdict(2, 4, true), verdict(1, 9, true)]).await.unwrap();
    assert_eq!(taken, [verdict(1, 10, false), verdict(2, 4, true)]);
    assert_eq!(store.gauges().awaiting, 1);
    assert!(store.take_verdicts(vec![verdict(1, 10, true)]).await.unwrap().is_empty(), "the same change again");

    store.reopen().await;
    assert_eq!(store.verdict(file(1).sha256).await.unwrap(), Some(verdict(1, 10, false)));
    assert_eq!(store.verdict(file(3).sha256).await.unwrap(), None);
    assert_eq!((store.gauges().awaiting, store.gauges().verdicts), (1, 2));
    store.add(executed(2, 1, 0)).await.unwrap();
    assert_eq!(store.gauges().awaiting, 1, "its verdict was final");
    let pending = store.pending.clone().unwrap();
    let mut seen = Vec::new();
    let seen = tokio::task::spawn_blocking(move || {
        pending.each_verdict_blocking(|verdict| seen.push(verdict.change_id)).unwrap();
        seen
    });
    assert_eq!(seen.await.unwrap(), [10, 4]);
}

#[tokio::test]
async fn a_second_agent_is_refused() {
    let store = TestStore::new();
    let options = Options { limits: store.limits, clock: store.clock.clone(), mint_epoch: mint };
    assert!(matches!(Pending::open(store.folder.path(), options), Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn a_store_that_will_not_open_is_put_aside_with_the_reason_and_an_empty_one_begun() {
    let mut store = TestStore::new();
    store.add_many((0..500).map(found).collect()).await.unwrap();
    let epoch = store.epoch();
    store.close().await;
    // What sled takes for its settings is one line; a disk that mixes up blocks leaves anything there.
    fs::write(store.sled().join("conf"), [0xff; 300]).unwrap();
    store.open();
    let [Recovery::Quarantined { to, .. }] = store.recovered.as_slice() else { panic!("{:?}", store.recovered) };
    assert!(to.join("db").exists());
    assert_eq!(store.gauges().records, 0);
    assert_ne!(store.epoch(), epoch, "or its reports would look like repeats");
    store.add(found(1)).await.unwrap();
    store.reopen().await;
    assert_eq!((store.recovered.len(), store.gauges().records), (0, 1));
}

#[tokio::test]
async fn a_file_in_the_place_of_the_store_is_put_aside_too() {
    let mut store = TestStore::new();
    store.close().await;
    fs::remove_dir_all(store.sled()).unwrap();
    fs::write(store.sled(), "not a folder").unwrap();
    store.open();
    assert!(matches!(store.recovered.as_slice(), [Recovery::Quarantined { .. }]), "{:?}", store.recovered);
    store.add(found(1)).await.unwrap();
}

#[tokio::test]
async fn a_store_that_comes_back_empty_is_noticed() {
    let mut store = TestStore::new();
    store.add(found(1)).await.unwrap();
    let epoch = store.epoch();
    store.close().await;
    fs::remove_file(store.sled().join("db")).unwrap();
    store.open();
    assert!(matches!(store.recovered.as_slice(), [Recovery::CameBackEmpty { .. }]), "{:?}", store.recovered);
    assert_ne!(store.epoch(), epoch);
    store.add(found(2)).await.unwrap();
}

#[tokio::test]
async fn nothing_is_put_aside_before_a_new_store_is_there() {
    let mut store = TestStore::new();
    store.add(found(1)).await.unwrap();
    store.close().await;
    fs::write(store.sled().join("evidence"), "of what happened").unwrap();
    fs::remove_file(store.sled().join("db")).unwrap();
    for _ in 0..4 {
        let mint_epoch = || Err(std::io::Error::other("no randomness"));
        let options = Options { limits: store.limits, clock: store.clock.clone(), mint_epoch };
        assert!(Pending::open(store.folder.path(), options).is_err());
    }
    store.open();
    let [Recovery::CameBackEmpty { to }] = store.recovered.as_slice() else { panic!("{:?}", store.recovered) };
    assert!(to.join("evidence").exists(), "still the first one");
    store.add(found(2)).await.unwrap();
    store.reopen().await;
    assert_eq!((store.recovered.len(), store.gauges().records), (0, 1));
}

#[tokio::test]
async fn a_store_older_than_its_note_is_noticed_and_reuses_no_sequence() {
    let mut store = TestStore::new();
    store.add(found(1)).await.unwrap();
    store.close().await;
    let old = store.folder.path().join("backup");
    copy_folder(&store.sled(), &old);
    store.open();
    store.add(found(2)).await.unwrap();
    let newest = store.gauges().last_sequence;
    store.close().await;
    fs::remove_dir_all(store.sled()).unwrap();
    fs::rename(&old, store.sled()).unwrap();
    store.open();
    assert_eq!(store.recovered, [Recovery::RolledBack { expected: 2, found: 1 }]);
    store.add(found(3)).await.unwrap();
    assert!(store.gauges().last_sequence > newest);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_read_is_dropped_and_counted_and_holds_up_nothing() {
    let mut store = TestStore::new();
    store.add_many(vec![found(1), found(2), found(3)]).await.unwrap();
    let middle = store.all().await[1].sequence;
    store.close().await;
    {
        let db = sled::open(store.sled()).unwrap();
        let tree = db.open_tree("pending").unwrap();
        tree.insert(key::tests_part(middle, 0), b"\x07 what a later agent wrote").unwrap();
        tree.flush().unwrap();
    }
    store.open();
    assert_eq!(store.all().await.len(), 2);
    assert_eq!((store.gauges().records, store.gauges().dropped), (3, 0), "as of the last commit");
    store.add(found(4)).await.unwrap();
    assert_eq!((store.gauges().records, store.gauges().dropped), (3, 1));
    assert!(matches!(store.take_recoveries().as_slice(), [Recovery::Unreadable { count: 1, .. }]));
}

#[tokio::test]
async fn a_large_inventory_lies_in_small_values_that_sled_syncs() {
    let mut store = TestStore::new();
    let source = |number: u32| InventorySource {
        source: Source::Package(PackageEvidence {
            manager: PackageManager::Dpkg,
            name: format!("lib{}{number}", "long".repeat(20)),
            version: "1.2.3-4+deb12u5".into(),
            origin: "Debian".into(),
            level: doorward_policy::Level::Database,
            fit: doorward_policy::Fit::Match,
        }),
        files: 3,
        executed: 1,
        modified: 0,
        scanned: true,
    };
    let inventory = ReportBody::Inventory(Inventory { sources: (0..10_000).map(source).collect(), complete: true });
    for _ in 0..3 {
        store.add(inventory.clone()).await.unwrap();
    }
    store.add_many((0..300).map(found).collect()).await.unwrap();
    store.reopen().await;
    let reports = store.all().await;
    assert_eq!(reports.len(), 303);
    assert!(reports[..3].iter().all(|report| report.body == inventory));
    assert_eq!(fs::read_dir(store.sled().join("blobs")).unwrap().count(), 0, "sled never syncs what it puts there");
    store.acknowledge(reports[302].sequence).await.unwrap();
    assert_eq!(store.gauges().bytes, 0);
}

#[tokio::test]
async fn a_store_that_grew_far_beyond_its_content_is_compacted_at_start() {
    let mut store = TestStore::new();
    for _ in 0..20 {
        store.add_many((0..1_000).map(found).collect()).await.unwrap();
        let last = store.all().await.last().unwrap().sequence;
        store.acknowledge(last - 1).await.unwrap();
        store.clock.advance(MINUTE);
    }
    store.take_verdicts((0..1_000).map(|number| verdict(number, 1, true)).collect()).await.unwrap();
    let (kept, epoch) = (store.all().await, store.epoch());
    store.reopen().await;
    let before = store.gauges().disk_bytes;
    store.limits.compact_bytes_min = 1 << 20;
    store.reopen().await;
    assert_eq!(store.recovered, []);
    assert!(store.gauges().disk_bytes < before / 2, "{before} -> {}", store.gauges().disk_bytes);
    assert_eq!((store.all().await, store.epoch()), (kept, epoch));
    assert_eq!((store.gauges().verdicts, store.gauges().awaiting), (1_000, 0));
    store.add(found(1)).await.unwrap();
    store.reopen().await;
    assert_eq!((store.recovered.len(), store.gauges().records), (0, 2));
}

#[tokio::test]
async fn a_new_epoch_keeps_the_reports_and_none_of_them_changes() {
    let mut store = TestStore::new();
    store.add(executed(1, 1, 0)).await.unwrap();
    let (epoch, before) = (store.epoch(), store.all().await);
    store.renew_epoch().await.unwrap();
    assert_ne!(store.epoch(), epoch);
    let renewed = store.epoch();
    store.add(executed(1, 1, 1)).await.unwrap();
    assert_eq!(store.all().await[..1], before);
    store.reopen().await;
    assert_eq!((store.recovered.len(), store.epoch()), (0, renewed));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = TestStore::new();
    let pending = store.pending.clone().unwrap();
    pending.close().await;
    assert_eq!(pending.add(found(1)).await.unwrap_err(), PendingError::Closed);
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_reaches_the_store() {
    let store = TestStore::new();
    let error = store.add_many((0..=1_024).map(found).collect()).await.unwrap_err();
    assert_eq!(error.reason(), "pending_too_large");
}
