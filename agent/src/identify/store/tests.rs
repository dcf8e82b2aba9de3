use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use doorward_policy::{Blake3, DigestAlgorithm, FileKind, Md5, Sha256};
use tempfile::TempDir;

use super::row::ROW_BYTES;
use super::*;
use crate::identify::{Attributes, Digests, Examined, FilesystemId, NameClaim};

const CLAIM: NameClaim = NameClaim::None;

fn entropy(key: &mut [u8]) {
    key.fill(42);
}

/// The inode of this number, in the state that changed at this moment.
fn inode(number: u64, changed_ns: i64) -> Inode {
    let identity = Identity { filesystem: FilesystemId(9), inode: number, changed_ns, size: 100 };
    Inode::plain(identity, Attributes { size: 100, mode: 0o100_755, uid: 0, gid: 0, modified_at: 0, changed_at: changed_ns / 1000 })
}

const MD5: Option<DigestAlgorithm> = Some(DigestAlgorithm::Md5);

fn digests(number: u64, with_md5: bool) -> Digests {
    let byte = number as u8;
    Digests { sha256: Sha256::new([byte; 32]), blake3: Blake3::new([!byte; 32]), listed: with_md5.then(|| Md5::new([byte; 16]).into()) }
}

fn candidate(inode: &Inode, with_md5: bool) -> Identified {
    Identified {
        identity: inode.identity,
        kind: FileKind::Script,
        digests: digests(inode.identity.inode, with_md5),
        attributes: inode.attributes,
    }
}

/// A store with its folder, opened as a process would.
struct TestStore {
    folder: TempDir,
}

impl TestStore {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn open(&self) -> (IdentityStore, Vec<StoreProblem>) {
        IdentityStore::open(self.folder.path(), entropy).unwrap()
    }

    fn open_well(&self) -> IdentityStore {
        let (store, problems) = self.open();
        assert_eq!(problems, []);
        store
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

fn learn_candidates(store: &IdentityStore, numbers: std::ops::Range<u64>, with_md5: bool) {
    learn(store, numbers.map(|number| (inode(number, 1), Some(candidate(&inode(number, 1), with_md5)))));
}

fn learn_others(store: &IdentityStore, numbers: std::ops::Range<u64>) {
    learn(store, numbers.map(|number| (inode(number, 1), None)));
}

fn learn(store: &IdentityStore, looks: impl Iterator<Item = (Inode, Option<Identified>)>) {
    let mut memo = Memo::default();
    for (inode, candidate) in looks {
        memo.keep(store, &Examined { candidate, lasting: Some(inode.identity) }, CLAIM);
        if memo.is_full() {
            store.remember(&mut memo);
        }
    }
    store.remember(&mut memo);
}

fn known_candidates(store: &IdentityStore, numbers: std::ops::Range<u64>) -> usize {
    let known = numbers.filter(|number| {
        let known = store.candidate(&inode(*number, 1), None);
        known.inspect(|known| assert_eq!(known.digests.sha256, digests(*number, false).sha256)).is_some()
    });
    known.count()
}

fn known_others(store: &IdentityStore, numbers: std::ops::Range<u64>) -> usize {
    let pass = store.pass();
    numbers.filter(|number| matches!(pass.look_up(&inode(*number, 1), CLAIM, || None), Known::Other)).count()
}

#[test]
fn what_was_learnt_is_known_at_once_and_to_the_next_process() {
    let test = TestStore::new();
    let store = test.open_well();
    learn_candidates(&store, 0..300, false);
    learn_others(&store, 1000..9000);
    assert_eq!(known_candidates(&store, 0..400), 300);
    drop(store);

    let store = test.open_well();
    assert_eq!((known_candidates(&store, 0..400), known_others(&store, 0..10_000)), (300, 8000));
    store.checkpoint(None).unwrap();
    assert_eq!((known_candidates(&store, 0..400), known_others(&store, 0..10_000)), (300, 8000));
    drop(store);

    let store = test.open_well();
    assert_eq!((known_candidates(&store, 0..400), known_others(&store, 0..10_000)), (300, 8000));
    assert_eq!(fs::metadata(test.file(GENERATION_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn another_state_of_an_inode_is_not_known_and_replaces_the_first() {
    let test = TestStore::new();
    let store = test.open_well();
    learn_candidates(&store, 5..6, false);
    store.checkpoint(None).unwrap();
    assert_eq!(store.candidate(&inode(5, 2), None), None);
    let changed = candidate(&inode(5, 2), true);
    learn(&store, [(inode(5, 2), Some(changed.clone()))].into_iter());
    assert_eq!(store.candidate(&inode(5, 2), MD5), Some(changed.clone()));
    drop(store);
    let store = test.open_well();
    assert_eq!(store.candidate(&inode(5, 2), MD5), Some(changed));
    assert_eq!(store.candidate(&inode(5, 1), None), None);
    assert_eq!(store.gauges().candidates, 1);
}

#[test]
fn a_candidate_without_the_md5_that_is_wanted_now_is_read_again() {
    let store = IdentityStore::in_memory(entropy);
    learn_candidates(&store, 1..2, false);
    assert!(store.candidate(&inode(1, 1), None).is_some());
    assert_eq!(store.candidate(&inode(1, 1), MD5), None);
    store.checkpoint(None).unwrap();
    let pass = store.pass();
    assert!(matches!(pass.look_up(&inode(1, 1), CLAIM, || MD5), Known::Nothing));
    assert!(matches!(pass.look_up(&inode(1, 1), CLAIM, || None), Known::Candidate(_)));
}

#[test]
fn a_look_under_one_name_says_nothing_about_a_name_that_claims_more() {
    let store = IdentityStore::in_memory(entropy);
    learn_others(&store, 1..2);
    store.checkpoint(None).unwrap();
    let pass = store.pass();
    assert!(matches!(pass.look_up(&inode(1, 1), NameClaim::None, || None), Known::Other));
    assert!(matches!(pass.look_up(&inode(1, 1), NameClaim::Jar, || None), Known::Nothing));
}

#[test]
fn a_whole_pass_drops_what_it_did_not_meet_and_a_partial_one_drops_nothing() {
    let test = TestStore::new();
    let store = test.open_well();
    learn_candidates(&store, 0..100, false);
    learn_others(&store, 100..200);
    store.checkpoint(None).unwrap();
    let pass = store.pass();
    for number in (0..50).chain(100..150) {
        let _ = pass.look_up(&inode(number, 1), CLAIM, || None);
    }
    store.checkpoint(None).unwrap();
    assert_eq!((known_candidates(&store, 0..100), known_others(&store, 100..200)), (100, 100));
    store.checkpoint(Some((&pass, 100))).unwrap();
    assert_eq!((known_candidates(&store, 0..100), known_others(&store, 100..200)), (50, 50));
    assert_eq!(store.files_expected(), Some(100));
    drop(pass);
    drop(store);
    let store = test.open_well();
    assert_eq!((known_candidates(&store, 0..100), known_others(&store, 100..200)), (50, 50));
}

#[test]
fn small_changes_stay_in_the_overlay_and_large_ones_make_a_generation() {
    let test = TestStore::new();
    let store = test.open_well();
    learn_candidates(&store, 0..1000, false);
    store.checkpoint(None).unwrap();
    let written = fs::metadata(test.file(GENERATION_FILE)).unwrap().len();
    learn_candidates(&store, 1000..1010, false);
    store.checkpoint(None).unwrap();
    assert_eq!(fs::metadata(test.file(GENERATION_FILE)).unwrap().len(), written);
    learn_candidates(&store, 1010..1200, false);
    store.checkpoint(None).unwrap();
    assert_eq!(fs::metadata(test.file(GENERATION_FILE)).unwrap().len(), written + 200 * ROW_BYTES as u64);
    assert_eq!(known_candidates(&store, 0..2000), 1200);
}

#[test]
fn an_overlay_torn_anywhere_keeps_every_frame_before_the_tear() {
    let test = TestStore::new();
    let store = test.open_well();
    for number in 0..8 {
        learn_candidates(&store, number..number + 1, false);
    }
    drop(store);
    let whole = fs::read(test.file(OVERLAY_FILE)).unwrap();
    let mut known_before = 0;
    for length in (0..whole.len()).step_by(9).chain([whole.len()]) {
        let torn = TestStore::new();
        fs::write(torn.file(OVERLAY_FILE), &whole[..length]).unwrap();
        let (store, problems) = torn.open();
        let known = known_candidates(&store, 0..8);
        assert!(known >= known_before && known <= 8, "{length}: {known}");
        assert!(problems.iter().all(|problem| matches!(problem, StoreProblem::Torn(_))), "{length}: {problems:?}");
        known_before = known;
        // It can be gone on with.
        learn_candidates(&store, 500..501, false);
        drop(store);
        assert_eq!(known_candidates(&torn.open_well(), 0..1000), known + 1, "{length}");
    }
    assert_eq!(known_before, 8);
}

#[test]
fn a_generation_damaged_anywhere_is_thrown_away_and_told() {
    let test = TestStore::new();
    let store = test.open_well();
    learn_candidates(&store, 0..20, true);
    learn_others(&store, 100..120);
    store.checkpoint(None).unwrap();
    drop(store);
    let whole = fs::read(test.file(GENERATION_FILE)).unwrap();
    let damaged = (0..whole.len()).step_by(7).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        bytes
    });
    let cut = (0..whole.len()).step_by(61).map(|length| whole[..length].to_vec());
    for bytes in damaged.chain(cut).chain([vec![0xff; whole.len()]]) {
        fs::write(test.file(GENERATION_FILE), &bytes).unwrap();
        let (store, problems) = test.open();
        let is_told = |problem: &StoreProblem| matches!(problem, StoreProblem::Damaged(_) | StoreProblem::Foreign(_));
        assert!(problems.iter().any(is_told), "{problems:?}");
        assert_eq!(known_candidates(&store, 0..20), 0);
    }
}

#[test]
fn a_generation_of_a_later_version_is_left_unread() {
    let test = TestStore::new();
    let store = test.open_well();
    learn_candidates(&store, 0..2, false);
    store.checkpoint(None).unwrap();
    drop(store);
    let mut bytes = fs::read(test.file(GENERATION_FILE)).unwrap();
    bytes[11] += 1;
    fs::write(test.file(GENERATION_FILE), bytes).unwrap();
    assert!(test.open().1.contains(&StoreProblem::Foreign(3)));
}

#[test]
fn a_generation_that_claims_to_be_huge_allocates_nothing() {
    let test = TestStore::new();
    test.open_well().checkpoint(None).unwrap();
    let mut bytes = fs::read(test.file(GENERATION_FILE)).unwrap();
    let counts = bytes.len() - 32 - 24;
    bytes[counts..counts + 8].fill(0x7f);
    fs::write(test.file(GENERATION_FILE), bytes).unwrap();
    assert!(matches!(test.open().1[..], [StoreProblem::Damaged(_)]));
}

#[test]
fn an_overlay_of_another_store_is_not_taken_in() {
    let (one, other) = (TestStore::new(), TestStore::new());
    let store = one.open_well();
    learn_candidates(&store, 0..10, false);
    store.checkpoint(None).unwrap();
    drop(store);
    let (store, _) = IdentityStore::open(other.folder.path(), |key| key.fill(1)).unwrap();
    learn_candidates(&store, 50..60, false);
    drop(store);
    fs::copy(other.file(OVERLAY_FILE), one.file(OVERLAY_FILE)).unwrap();
    let (store, problems) = one.open();
    assert_eq!(problems, [StoreProblem::StrangeOverlay]);
    assert_eq!((known_candidates(&store, 0..10), known_candidates(&store, 50..60)), (10, 0));
}

#[test]
fn a_second_process_reads_the_store_and_keeps_nothing() {
    let test = TestStore::new();
    let first = test.open_well();
    learn_candidates(&first, 0..10, false);
    first.checkpoint(None).unwrap();
    let (second, problems) = test.open();
    assert_eq!(problems, [StoreProblem::Held]);
    learn_candidates(&second, 10..20, false);
    second.checkpoint(None).unwrap();
    assert_eq!(known_candidates(&second, 0..20), 20);
    drop((first, second));
    assert_eq!(known_candidates(&test.open_well(), 0..20), 10);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    assert!(IdentityStore::open(Path::new("/proc/nowhere/identity"), entropy).is_err());
}

#[test]
fn learning_goes_on_while_a_generation_is_written() {
    let test = TestStore::new();
    let store = test.open_well();
    std::thread::scope(|scope| {
        let learner = scope.spawn(|| (0..40u64).for_each(|round| learn_candidates(&store, round * 50..round * 50 + 50, false)));
        for _ in 0..10 {
            store.checkpoint(None).unwrap();
        }
        learner.join().unwrap();
    });
    assert_eq!(known_candidates(&store, 0..3000), 2000);
    drop(store);
    assert_eq!(known_candidates(&test.open_well(), 0..3000), 2000);
}

#[test]
fn checkpoints_at_one_time_do_not_spoil_each_other() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 20;
    let place = TestStore::new();
    let store = place.open_well();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let first = (thread * ROUNDS + round) * 100;
                    learn_candidates(store, first..first + 100, false);
                    store.checkpoint(None).unwrap();
                }
            });
        }
    });
    assert_eq!(store.gauges().candidates as u64, THREADS * ROUNDS * 100);
    drop(store);
    assert_eq!(place.open_well().gauges().candidates as u64, THREADS * ROUNDS * 100);
}
