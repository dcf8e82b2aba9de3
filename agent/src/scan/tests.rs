use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use doorward_policy::{
    Answer, Evidence, Facts, Fit, Listed, Listing, NoAnswer, PackageManager, PathBytes, Sha256, StatusReason, TrustRules, status,
};
use doorward_proto::report::Source;
use doorward_service::clock::Clock;
use sha2::Digest as _;
use tempfile::TempDir;

use super::*;
use crate::identify::{Identified, Identifier, IdentityStore, Limits, SkipReason};
use crate::trust::PackageTrust;
use crate::trust::fixture::{TestPackage, TestRoot, script};
use crate::trust::rpm::fixture::{RpmRoot, Spec};

mod bytecode;
mod hostile;
mod kill;
mod mounts;

/// Some day after every file of a test was made, so that every identity is settled.
const LATER_MICROS: i64 = 4_000_000_000_000_000;

/// Takes everything down.
#[derive(Default)]
struct Collected {
    findings: Mutex<Vec<Finding>>,
    skipped: Mutex<Vec<(PathBytes, SkipReason)>>,
}

impl Sink for Collected {
    fn findings(&self, findings: Vec<Finding>) -> ControlFlow<()> {
        self.findings.lock().unwrap().extend(findings);
        ControlFlow::Continue(())
    }

    fn skipped(&self, path: &PathBytes, reason: SkipReason) {
        self.skipped.lock().unwrap().push((path.clone(), reason));
    }
}

/// A scan's surroundings: a state folder that outlives it, and the knobs that tests turn.
struct TestScan<'a> {
    root: &'a Path,
    state: PathBuf,
    options: Options,
    limits: Limits,
    progress: Arc<Progress>,
}

/// What a scan came to.
struct Scanned {
    summary: Summary,
    findings: Vec<Finding>,
    skipped: Vec<(PathBytes, SkipReason)>,
}

impl<'a> TestScan<'a> {
    fn of(root: &'a TestRoot, state: &TempDir) -> Self {
        Self {
            root: root.path(),
            state: state.path().join("identity"),
            options: Options { root: root.path().to_owned(), threads: 2, ..Options::default() },
            limits: Limits::default(),
            progress: Arc::default(),
        }
    }

    fn only(mut self, paths: &[&str]) -> Self {
        self.options.paths = paths.iter().map(|path| PathBytes::new(*path)).collect();
        self
    }

    fn without(mut self, excluded: &[&str]) -> Self {
        self.options.excluded = excluded.iter().map(|path| PathBytes::new(*path)).collect();
        self
    }

    fn run(&self) -> Scanned {
        self.run_with(&ByPackage::default(), &Cancel::default())
    }

    fn run_with(&self, judge: &dyn Judge, cancel: &Cancel) -> Scanned {
        let (store, _) = IdentityStore::open(&self.state, |key| key.fill(3)).unwrap();
        let identifier = Identifier::new(Arc::new(store), Clock::standing(LATER_MICROS), self.limits);
        let trust = PackageTrust::load(self.root).unwrap();
        let sink = Collected::default();
        let scan = Scan {
            options: self.options.clone(),
            identifier: &identifier,
            trust: trust.as_ref(),
            publishers: None,
            judge,
            sink: &sink,
            progress: &self.progress,
            cancel,
        };
        let summary = scan.run().unwrap();
        let Collected { findings, skipped } = sink;
        Scanned { summary, findings: findings.into_inner().unwrap(), skipped: skipped.into_inner().unwrap() }
    }
}

impl Scanned {
    fn paths(&self) -> BTreeSet<String> {
        self.findings.iter().map(|finding| finding.path.to_string()).collect()
    }

    fn skips(&self) -> BTreeMap<String, SkipReason> {
        self.skipped.iter().map(|(path, reason)| (path.to_string(), *reason)).collect()
    }
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn sha256(content: &[u8]) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(content).into())
}

#[test]
fn packaged_files_are_counted_and_the_others_handed_over() {
    let package = TestPackage::new("greeter", "2").file("usr/bin/greet", script("hello")).file("usr/bin/changed", script("as packaged"));
    let root = TestRoot::new()
        .with_package(&package)
        .with("usr/bin/changed", script("by somebody"))
        .with("opt/tool/run", script("unknown"))
        .with("opt/tool/readme", "text");
    let state = TempDir::new().unwrap();
    let scanned = TestScan::of(&root, &state).run();
    assert_eq!(scanned.paths(), set(&["/opt/tool/run", "/usr/bin/changed"]));
    let [run] = scanned.findings.iter().filter(|finding| finding.path.file_name() == b"run").collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(run.file.digests.sha256, sha256(&script("unknown")));
    assert_eq!((run.file.digests.listed, &run.evidence), (None, &Evidence::default()));
    let changed = scanned.findings.iter().find(|finding| finding.path.file_name() == b"changed").unwrap();
    assert_eq!(changed.evidence.package.as_ref().unwrap().fit, Fit::Modified);
    let counts = scanned.summary.counts;
    assert_eq!((counts.candidates, counts.package_trusted, counts.otherwise_trusted, counts.unresolved), (3, 1, 0, 2));
    let [SourceCount { source: Source::Package(package), files: 1, modified: 1 }] = &scanned.summary.inventory[..] else {
        panic!("{:?}", scanned.summary)
    };
    assert_eq!((package.name.as_str(), package.fit), ("greeter", Fit::Match));
    assert!(!scanned.summary.stopped && scanned.summary.skipped.is_empty());
}

#[test]
fn configuration_that_is_code_is_modified_when_it_was_edited_and_other_configuration_is_no_matter() {
    let package = TestPackage::new("daemon", "3")
        .conffile("etc/cron.daily/daemon", script("clean up"))
        .conffile("etc/init.d/daemon", script("start"))
        .conffile("etc/daemon.conf", "verbose = no\n");
    let root = TestRoot::new()
        .with_package(&package)
        .with("etc/init.d/daemon", script("start --debug"))
        .with("etc/daemon.conf", "verbose = yes\n");
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.paths(), set(&["/etc/init.d/daemon"]));
    let evidence = &scanned.findings[0].evidence;
    assert_eq!(evidence.package.as_ref().unwrap().fit, Fit::Modified);
    let counts = scanned.summary.counts;
    assert_eq!((counts.candidates, counts.package_trusted, counts.unresolved), (2, 1, 1));
    // It has a status reason of its own.
    let facts = Facts { package: evidence.package.clone().map(unlisted), ..Facts::unknown(Answer::None(NoAnswer::NotAsked)) };
    assert_eq!(status(&TrustRules::default(), &facts).reason, StatusReason::Modified);
}

fn unlisted<T>(evidence: T) -> Listed<T> {
    Listed { evidence, listing: Listing::Unlisted }
}

#[test]
fn of_alternatives_the_target_counts() {
    let package = TestPackage::new("vim", "9").file("usr/bin/vim.basic", script("vim"));
    let root = TestRoot::new().with_package(&package).with("etc/alternatives/README", "text");
    symlink("/etc/alternatives/editor", root.at("usr/bin/editor")).unwrap();
    symlink("/usr/bin/vim.basic", root.at("etc/alternatives/editor")).unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.paths(), set(&[]), "a link is nothing by itself");
    let counts = scanned.summary.counts;
    assert_eq!((counts.candidates, counts.package_trusted), (1, 1));
    // Turned to something else, the link makes nothing of that trusted.
    root.write("opt/editor", script("foreign"));
    fs::remove_file(root.at("etc/alternatives/editor")).unwrap();
    symlink("/opt/editor", root.at("etc/alternatives/editor")).unwrap();
    assert_eq!(TestScan::of(&root, &TempDir::new().unwrap()).run().paths(), set(&["/opt/editor"]));
}

#[test]
fn a_host_of_both_families_is_settled_by_both_and_the_inventory_tells_them_apart() {
    let Some(rpm) = RpmRoot::new() else { return };
    let install = "mkdir -p %{buildroot}/usr/bin; printf '#!/bin/sh\\nby rpm\\n' > %{buildroot}/usr/bin/one; cp %{buildroot}/usr/bin/one %{buildroot}/usr/bin/two";
    rpm.install(&Spec { install, files: "/usr/bin/one\n/usr/bin/two", ..Spec::default() }, &[]);
    let root = TestRoot::at_folder(rpm.root());
    root.register(&TestPackage::new("tool", "1").file("usr/bin/three", script("by dpkg")));
    root.write("usr/bin/three", script("by dpkg"));
    root.write("usr/bin/two", script("by somebody"));
    root.write("opt/foreign", script("by nobody"));
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(scanned.paths(), set(&["/opt/foreign", "/usr/bin/two"]));
    let found: BTreeSet<_> = scanned
        .summary
        .inventory
        .iter()
        .filter_map(|count| {
            let Source::Package(package) = &count.source else { return None };
            Some((package.manager, package.version.as_str(), count.files, count.modified))
        })
        .collect();
    let expected = [(PackageManager::Dpkg, "1", 1, 0), (PackageManager::Rpm, "2:1.0-3", 1, 1)];
    assert_eq!(found, BTreeSet::from(expected), "two packages of one name");
}

#[test]
fn what_lists_settle_is_not_handed_over() {
    struct Lists;
    impl Judge for Lists {
        fn settle(&self, path: &PathBytes, file: &Identified, _: &Evidence) -> Settled {
            assert_eq!(file.digests.sha256, sha256(&script("listed")));
            if path.file_name() == b"listed" { Settled::Otherwise } else { Settled::Unresolved }
        }
    }
    let root = TestRoot::bare().with("a/listed", script("listed")).with("a/other", script("listed"));
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run_with(&Lists, &Cancel::default());
    assert_eq!(scanned.paths(), set(&["/a/other"]));
    assert_eq!((scanned.summary.counts.otherwise_trusted, scanned.summary.counts.unresolved), (1, 1));
}

#[test]
fn a_rescan_reads_what_changed_and_nothing_else_and_hands_over_the_same() {
    let package = TestPackage::new("greeter", "2").file("usr/bin/greet", script("hello"));
    let root = TestRoot::new().with_package(&package).with("opt/run", script("unknown")).with("opt/text", "text");
    let state = TempDir::new().unwrap();
    let scan = TestScan::of(&root, &state);
    let first = scan.run();
    assert_eq!(first.summary.counts.digested_files, 2);
    let second = scan.run();
    assert_eq!(second.summary.counts.digested_files, 0);
    assert_eq!((second.findings, second.summary.inventory), (first.findings, first.summary.inventory));
    root.write("opt/run", script("another"));
    root.write("opt/text", script("text no more"));
    let third = scan.run();
    assert_eq!(third.summary.counts.digested_files, 2);
    assert_eq!(third.paths(), set(&["/opt/run", "/opt/text"]));
}

#[test]
fn a_rescan_opens_no_file() {
    use notify::event::{AccessKind, EventKind};
    use notify::{RecursiveMode, Watcher};
    let root = TestRoot::new().with("opt/run", script("unknown")).with("opt/text", "text").with("opt/deep/er/other", [0; 100]);
    let state = TempDir::new().unwrap();
    let scan = TestScan::of(&root, &state);
    scan.run();
    let (send, events) = std::sync::mpsc::sync_channel(10_000);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| send.send(event.unwrap()).unwrap()).unwrap();
    watcher.watch(root.path(), RecursiveMode::Recursive).unwrap();
    scan.run();
    // Whatever came before this has been told when this is.
    fs::File::create(root.at("end")).unwrap();
    let mut opened = BTreeSet::new();
    for event in events {
        if event.paths.iter().any(|path| path.ends_with("end")) {
            break;
        }
        if matches!(event.kind, EventKind::Access(AccessKind::Open(_))) {
            opened.extend(event.paths.into_iter().filter(|path| path.is_file()));
        }
    }
    // The database is read anew for every generation of trust.
    opened.retain(|path| !path.starts_with(root.database()));
    assert_eq!(opened, BTreeSet::new());
}

#[test]
fn a_file_that_became_packaged_is_read_again_for_its_md5() {
    let root = TestRoot::new().with("usr/bin/greet", script("hello"));
    let state = TempDir::new().unwrap();
    let scan = TestScan::of(&root, &state);
    assert_eq!(scan.run().summary.counts.unresolved, 1);
    root.register(&TestPackage::new("greeter", "2").file("usr/bin/greet", script("hello")));
    let scanned = scan.run();
    assert_eq!((scanned.summary.counts.digested_files, scanned.summary.counts.package_trusted), (1, 1));
}

#[test]
fn a_file_with_several_names_is_read_once_and_found_under_each() {
    let root = TestRoot::bare().with("a/one", script("same"));
    fs::create_dir(root.at("b")).unwrap();
    fs::hard_link(root.at("a/one"), root.at("b/two")).unwrap();
    let mut scan = TestScan::of(&root, &TempDir::new().unwrap());
    scan.options.threads = 1;
    let scanned = scan.run();
    assert_eq!(scanned.paths(), set(&["/a/one", "/b/two"]));
    assert_eq!(scanned.summary.counts.digested_files, 1);
}

#[test]
fn excluded_paths_are_not_entered_and_counted() {
    let root =
        TestRoot::bare().with("a/run", script("a")).with("ab/run", script("ab")).with("c/one", script("1")).with("c/two", script("2"));
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).without(&["/a/", "/c/one", "/nowhere"]).run();
    assert_eq!(scanned.paths(), set(&["/ab/run", "/c/two"]));
    assert_eq!(scanned.skips(), [("/a".to_owned(), SkipReason::Excluded), ("/c/one".to_owned(), SkipReason::Excluded)].into());
}

#[test]
fn single_files_and_folders_can_be_asked_for_and_drop_nothing_from_memory() {
    let root = TestRoot::bare().with("a/run", script("a")).with("a/other", script("o")).with("b/run", script("b"));
    let state = TempDir::new().unwrap();
    TestScan::of(&root, &state).run();
    let scanned = TestScan::of(&root, &state).only(&["/a/run", "/b", "/missing"]).run();
    assert_eq!(scanned.paths(), set(&["/a/run", "/b/run"]));
    assert_eq!(scanned.summary.skipped, [(SkipReason::Vanished, 1)].into());
    assert_eq!(TestScan::of(&root, &state).run().summary.counts.digested_files, 0);
}

#[test]
fn a_file_asked_for_twice_is_met_once() {
    let root = TestRoot::bare().with("a/b/run", script("a"));
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).only(&["/", "/a", "//a/b/run"]).run();
    assert_eq!((scanned.summary.counts.files, scanned.findings.len()), (1, 1));
}

#[test]
fn folders_that_others_can_write_are_told() {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED: folders_that_others_can_write_are_told because only root can make folders that nobody else can write");
    }
    let root = TestRoot::bare().with("safe/run", script("1")).with("open/below/run", script("2"));
    fs::set_permissions(root.at("open"), fs::Permissions::from_mode(0o1777)).unwrap();
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).run();
    let told: BTreeMap<_, _> = scanned.findings.iter().map(|finding| (finding.path.to_string(), finding.user_writable_folder)).collect();
    assert_eq!(told, [("/open/below/run".to_owned(), true), ("/safe/run".to_owned(), false)].into());
    for start in ["/open/below", "/open/below/run"] {
        let scanned = TestScan::of(&root, &TempDir::new().unwrap()).only(&[start]).run();
        assert!(scanned.findings[0].user_writable_folder, "{start} lies below a folder for everybody");
    }
    let scanned = TestScan::of(&root, &TempDir::new().unwrap()).only(&["/safe/run"]).run();
    assert!(!scanned.findings[0].user_writable_folder);
}

#[test]
fn a_sink_that_takes_no_more_stops_the_scan() {
    struct Full(AtomicU64);
    impl Sink for Full {
        fn findings(&self, _: Vec<Finding>) -> ControlFlow<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Break(())
        }
    }
    let root = TestRoot::bare();
    for number in 0..2000 {
        root.write(format!("{}/{number}", number / 10), script(&number.to_string()));
    }
    let store = IdentityStore::in_memory(|key| key.fill(1));
    let identifier = Identifier::new(Arc::new(store), Clock::standing(LATER_MICROS), Limits::default());
    let (sink, progress) = (Full(AtomicU64::new(0)), Progress::default());
    let scan = Scan {
        options: Options { root: root.path().to_owned(), threads: 1, ..Options::default() },
        identifier: &identifier,
        trust: None,
        publishers: None,
        judge: &ByPackage::default(),
        sink: &sink,
        progress: &progress,
        cancel: &Cancel::default(),
    };
    let summary = scan.run().unwrap();
    assert!(summary.stopped && summary.counts.files < 2000);
    assert_eq!(progress.reading().files, summary.counts.files);
    assert!(sink.0.load(Ordering::Relaxed) <= 2);
}

#[test]
fn a_root_that_is_not_there_is_an_error() {
    let root = TestRoot::bare();
    let gone =
        TestScan { options: Options { root: root.at("gone"), ..Options::default() }, ..TestScan::of(&root, &TempDir::new().unwrap()) };
    let store = IdentityStore::in_memory(|key| key.fill(1));
    let identifier = Identifier::new(Arc::new(store), Clock::system(), Limits::default());
    let scan = Scan {
        options: gone.options,
        identifier: &identifier,
        trust: None,
        publishers: None,
        judge: &ByPackage::default(),
        sink: &Collected::default(),
        progress: &Progress::default(),
        cancel: &Cancel::default(),
    };
    assert!(matches!(scan.run(), Err(ScanError::Root { .. })));
}
