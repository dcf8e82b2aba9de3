use super::*;

const KEY: [u8; 20] = [7; 20];

fn key() -> KeyFingerprint {
    KeyFingerprint::V4(KEY)
}

fn file(byte: u8) -> Sha256 {
    Sha256::new([byte; 32])
}

fn archive(package: &str, version: &str, witnessed_at: i64) -> Archive {
    let sha256 = Sha256::new(*blake3::hash(format!("{package} {version}").as_bytes()).as_bytes());
    Archive {
        package: package.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        sha256,
        index: "main/binary-amd64/Packages".to_owned(),
        release: "example.org_dists_stable_InRelease".to_owned(),
        suite: "stable".to_owned(),
        released_at: 1,
        key: key(),
        key_name: "Example".to_owned(),
        witnessed_at,
        occasion: Occasion::Transaction,
    }
}

fn database(name: &str, version: &str, fit: Fit) -> Option<PackageEvidence> {
    let (name, version) = (name.to_owned(), version.to_owned());
    Some(PackageEvidence { manager: PackageManager::Dpkg, name, version, origin: String::new(), level: Level::Database, fit })
}

fn stand(evidence: Option<PackageEvidence>) -> Option<(Level, Fit)> {
    evidence.map(|evidence| (evidence.level, evidence.fit))
}

/// A ledger that saw version 1 of `tool` with content 1 at `usr/bin/tool` and script 9.
fn ledger() -> Ledger {
    let ledger = Ledger::in_memory();
    assert!(ledger.add(archive("tool", "1", 5), &[(b"usr/bin/tool".to_vec(), file(1))], &[file(9)]));
    ledger
}

#[test]
fn content_is_vouched_for_at_its_place_and_by_keys_that_count() {
    let ledger = ledger();
    let at = |path: &[u8], content, keys: &[_]| stand(ledger.evidence(path, &file(content), None, keys));
    assert_eq!(at(b"usr/bin/tool", 1, &[]), Some((Level::Signed, Fit::Match)));
    assert_eq!(at(b"usr/bin/tool", 1, &[key()]), Some((Level::Signed, Fit::Match)));
    assert_eq!(at(b"usr/bin/tool", 1, &[KeyFingerprint::V4([8; 20])]), None, "another key is pinned");
    assert_eq!(at(b"home/x/tool", 1, &[]), None);
    assert_eq!(at(b"usr/bin/tool", 2, &[]), None);
}

#[test]
fn scripts_are_vouched_for_where_dpkg_runs_them_and_nowhere_else() {
    let ledger = ledger();
    let at = |path: &[u8]| stand(ledger.evidence(path, &file(9), None, &[]));
    for path in [&b"var/lib/dpkg/tmp.ci/preinst"[..], b"var/lib/dpkg/info/tool.postinst", b"var/cache/debconf/tmp.ci/tool.config.AbCdEf"] {
        assert_eq!(at(path), Some((Level::Signed, Fit::Match)));
    }
    assert_eq!(at(b"tmp/preinst"), None);
    assert_eq!(stand(ledger.evidence(b"var/lib/dpkg/info/tool.postinst", &file(1), None, &[])), None, "a file is no script");
}

#[test]
fn a_database_that_was_edited_to_agree_is_contradicted() {
    let ledger = ledger();
    let forged = ledger.evidence(b"usr/bin/tool", &file(6), database("tool", "1", Fit::Match), &[]);
    assert_eq!(stand(forged), Some((Level::Signed, Fit::Modified)));
    assert_eq!(ledger.expected(b"usr/bin/tool", "tool", "1"), Some(file(1)));
    let later = ledger.evidence(b"usr/bin/tool", &file(6), database("tool", "2", Fit::Match), &[]);
    assert_eq!(stand(later), Some((Level::Database, Fit::Match)), "nothing is known of that version");
    let foreign_key = ledger.evidence(b"usr/bin/tool", &file(6), database("tool", "1", Fit::Match), &[KeyFingerprint::V4([8; 20])]);
    assert_eq!(stand(foreign_key), Some((Level::Database, Fit::Match)));
}

#[test]
fn a_diverted_file_is_its_packages_where_the_database_says_it_lies() {
    let ledger = ledger();
    let diverted = ledger.evidence(b"usr/bin/tool.distrib", &file(1), database("tool", "1", Fit::Match), &[]);
    assert_eq!(stand(diverted), Some((Level::Signed, Fit::Match)));
    let modified = ledger.evidence(b"usr/bin/tool.distrib", &file(1), database("tool", "1", Fit::Modified), &[]);
    assert_eq!(stand(modified), Some((Level::Database, Fit::Modified)));
}

#[test]
fn what_is_unused_is_forgotten_after_a_day_and_the_rest_keeps_its_rows() {
    let ledger = ledger();
    ledger.add(archive("old", "1", 0), &[(b"usr/bin/old".to_vec(), file(3))], &[]);
    ledger.add(archive("new", "1", UNUSED_MICROS), &[(b"usr/bin/new".to_vec(), file(4))], &[]);
    ledger.forget_unused(UNUSED_MICROS + 1, |package, _| package == "tool");
    let at = |path: &[u8], content| stand(ledger.evidence(path, &file(content), None, &[])).is_some();
    assert!(at(b"usr/bin/tool", 1) && at(b"usr/bin/new", 4) && !at(b"usr/bin/old", 3));
    assert_eq!(ledger.archive_of(b"usr/bin/new", &file(4), None).unwrap().package, "new");
    assert_eq!(ledger.gauges().archives, 2);
}

#[test]
fn it_is_there_after_a_restart_and_a_damaged_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, problem) = Ledger::open(folder.path());
    assert_eq!(problem, None);
    ledger.add(archive("tool", "1", 5), &[(b"usr/bin/tool".to_vec(), file(1))], &[]);
    ledger.note_told();
    ledger.keep().unwrap();
    let (again, problem) = Ledger::open(folder.path());
    assert_eq!((problem, again.gauges()), (None, ledger.gauges()));
    assert!(again.is_told() && again.holds_package("tool", "1", &[key()]));
    let path = folder.path().join(FILE);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let (empty, problem) = Ledger::open(folder.path());
        assert!(problem.is_some() && empty.gauges().files == 0, "byte {at}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(Ledger::open(folder.path()).1.is_some(), "cut at {at}");
    }
}

#[test]
fn an_archive_read_again_takes_its_own_place() {
    let ledger = ledger();
    ledger.add(archive("other", "1", 5), &[(b"usr/bin/other".to_vec(), file(2))], &[]);
    ledger.add(archive("tool", "1", 6), &[(b"usr/bin/tool".to_vec(), file(1))], &[]);
    assert_eq!(ledger.gauges(), LedgerGauges { archives: 2, files: 2, transactions: false });
    assert_eq!(ledger.archive_of(b"usr/bin/other", &file(2), None).unwrap().package, "other");
}
