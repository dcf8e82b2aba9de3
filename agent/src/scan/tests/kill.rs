//! Scans that end in the middle, by request or by force.

use super::*;

const FILES: usize = 600;

fn tree() -> TestRoot {
    let root = TestRoot::new().with_package(&TestPackage::new("some", "1").file("usr/bin/packaged", script("packaged")));
    for number in 0..FILES {
        root.write(format!("opt/{}/{number}", number % 17), script(&number.to_string()));
        root.write(format!("srv/{}/{number}", number % 13), number.to_string());
    }
    root
}

/// At the nth candidate, copies the store as a kill at that moment would leave it, and goes on.
struct Photographer<'a> {
    countdown: AtomicU64,
    store: &'a Path,
    picture: &'a Path,
}

impl Judge for Photographer<'_> {
    fn settle(&self, path: &PathBytes, file: &Identified, evidence: &Evidence) -> Settled {
        if self.countdown.fetch_sub(1, Ordering::SeqCst) == 1 {
            for entry in fs::read_dir(self.store).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), self.picture.join(entry.file_name())).unwrap();
            }
        }
        ByPackage::default().settle(path, file, evidence)
    }
}

#[test]
fn a_scan_killed_at_any_moment_goes_on_and_finds_every_file_once() {
    let root = tree();
    let whole = TestScan::of(&root, &TempDir::new().unwrap()).run();
    assert_eq!(whole.findings.len(), FILES);
    for (round, moment) in [1, 2, 130, 131, 300, 450, 599, 601].into_iter().enumerate() {
        let (state, picture) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let killed = TestScan::of(&root, &state);
        let photographed = picture.path().join("identity");
        fs::create_dir(&photographed).unwrap();
        let judge = Photographer { countdown: AtomicU64::new(moment), store: &killed.state, picture: &photographed };
        killed.run_with(&judge, &Cancel::default());
        // A kill may tear the last frame; a power cut does.
        let overlay = photographed.join("overlay");
        let length = fs::metadata(&overlay).unwrap().len();
        fs::OpenOptions::new().write(true).open(&overlay).unwrap().set_len(length.saturating_sub(round as u64 * 13)).unwrap();

        let resumed = TestScan::of(&root, &picture).run();
        assert_eq!(resumed.paths(), whole.paths(), "killed at candidate {moment}");
        assert_eq!(resumed.findings.len(), FILES);
        assert_eq!(resumed.summary.inventory, whole.summary.inventory);
        // Each thread may have had a few hundred files that nobody was told of.
        assert!(resumed.summary.counts.digested_files <= FILES as u64 + 1, "killed at candidate {moment}");
        if moment >= 450 {
            assert!(resumed.summary.counts.digested_files < FILES as u64, "nothing was kept before candidate {moment}");
        }
        assert_eq!(TestScan::of(&root, &picture).run().summary.counts.digested_files, 0);
    }
}

#[test]
fn a_cancelled_scan_stops_soon_and_keeps_what_it_learnt() {
    struct CancelAt<'a>(AtomicU64, &'a Cancel);
    impl Judge for CancelAt<'_> {
        fn settle(&self, _: &PathBytes, _: &Identified, _: &Evidence) -> Settled {
            if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.1.cancel();
            }
            Settled::Unresolved
        }
    }
    let (root, state) = (tree(), TempDir::new().unwrap());
    let cancel = Cancel::default();
    let stopped = TestScan::of(&root, &state).run_with(&CancelAt(AtomicU64::new(100), &cancel), &cancel);
    assert!(stopped.summary.stopped);
    // The other thread may have been in the middle of a file.
    assert!((100..=101).contains(&stopped.summary.counts.digested_files), "{:?}", stopped.summary);
    assert_eq!(stopped.findings.len() as u64, stopped.summary.counts.candidates);
    let resumed = TestScan::of(&root, &state).run();
    assert_eq!(resumed.summary.counts.digested_files, FILES as u64 + 1 - stopped.summary.counts.digested_files);
    assert_eq!(resumed.findings.len(), FILES);
}

#[test]
fn a_store_that_is_damaged_between_scans_costs_reading_and_nothing_else() {
    let (root, state) = (tree(), TempDir::new().unwrap());
    let scan = TestScan::of(&root, &state);
    let first = scan.run();
    fs::write(scan.state.join("generation"), b"garbage").unwrap();
    let second = scan.run();
    assert_eq!(second.paths(), first.paths());
    assert_eq!(second.summary.counts.digested_files, FILES as u64 + 1);
    assert_eq!(scan.run().summary.counts.digested_files, 0);
}
