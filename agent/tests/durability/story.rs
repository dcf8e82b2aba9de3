//! What the stories share: a store with test reports in it, and the check that nothing promised is missing.

use std::collections::BTreeSet;
use std::path::Path;

use doorward_agent::pending::{Limits, Opened, Options, Pending, random_epoch};
use doorward_policy::{Evidence, FileKind, PathBytes, Sha256, Use};
use doorward_proto::report::{FileFacts, Observation, Report, ReportBody};
use doorward_service::clock::Clock;

/// How many rounds to play.
pub(crate) fn rounds(usual: u32, long: u32) -> u32 {
    if std::env::var_os("DOORWARD_TEST_LONG").is_some() { long } else { usual }
}

/// Random enough to hit different moments, and the same in every run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(crate) fn open(folder: &Path, free_bytes_min: u64) -> Opened {
    let limits = Limits { free_bytes_min, ..Limits::default() };
    Pending::open(folder, Options { limits, clock: Clock::system(), mint_epoch: random_epoch }).unwrap()
}

/// A finding of a scan; its number stands in its digest, and every 50th is as long as reports get.
pub(crate) fn found(number: u32) -> ReportBody {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    let file = FileFacts {
        sha256: Sha256::new(digest),
        sha1: None,
        md5: None,
        blake3: None,
        size: 4_096,
        kind: FileKind::Script,
        mode: 0o100_755,
        uid: 0,
        gid: 0,
        modified_at: 0,
        changed_at: 0,
    };
    let folder = if number.is_multiple_of(50) { "long/".repeat(800) } else { String::new() };
    ReportBody::Observation(Observation {
        file,
        path: PathBytes::new(format!("/srv/{folder}{number}")),
        usage: Use::Scan,
        scan: None,
        first_observed_at: 1,
        last_observed_at: 1,
        count: 1,
        evidence: Evidence::default(),
        process: None,
        user_writable_folder: false,
        layer: None,
    })
}

pub(crate) fn number(report: &Report) -> u32 {
    let ReportBody::Observation(observation) = &report.body else { panic!("not a finding: {report:?}") };
    assert_eq!(report.body, found(u32::from_be_bytes(*observation.file.sha256.as_bytes().first_chunk().unwrap())));
    u32::from_be_bytes(*observation.file.sha256.as_bytes().first_chunk().unwrap())
}

/// Every number in the store, each of them once and in order.
pub(crate) async fn numbers(pending: &Pending) -> BTreeSet<u32> {
    let (mut numbers, mut after) = (BTreeSet::new(), 0);
    loop {
        let reports = pending.batch(after, 512, 1 << 20).await.unwrap();
        let Some(last) = reports.last() else { return numbers };
        after = last.sequence;
        for report in &reports {
            assert!(numbers.insert(number(report)), "twice in the store: {report:?}");
        }
    }
}

/// What a writer was promised so far.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    /// Everything up to here was kept.
    pub(crate) kept: u32,
    /// Everything up to here may be gone: it was acknowledged, or was about to be.
    pub(crate) released: u32,
}

impl Promises {
    pub(crate) fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("kept", number)) => self.kept = number.parse().unwrap(),
            Some(("releasing", number)) => self.released = number.parse().unwrap(),
            _ => {}
        }
    }

    pub(crate) fn check(&self, there: &BTreeSet<u32>) {
        let lost: Vec<u32> = (self.released + 1..=self.kept).filter(|number| !there.contains(number)).collect();
        assert!(lost.is_empty(), "{} of {} promised reports are lost: {lost:?}", lost.len(), self.kept - self.released);
    }
}
