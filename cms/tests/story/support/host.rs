//! A host as the CMS knows it: a certificate, a store epoch, and reports that rise by one.

use std::sync::atomic::{AtomicU64, Ordering};

use doorward_cms::allowlist::Allowlist;
use doorward_cms::store::{Certificate, Ingested, NewHost, ScanView, mint};
use doorward_policy::{Evidence, FileKind, Fit, HostId, Level, PackageEvidence, PackageManager, PathBytes, ProfileId, ScanId, Sha256, Use};
use doorward_proto::enrollment::HostFacts;
use doorward_proto::report::{FileFacts, Observation, Process, Report, ReportBody};

use super::{TestCms, file};

pub(crate) struct TestHost {
    pub(crate) id: HostId,
    pub(crate) epoch: [u8; 16],
    allowlist: Allowlist,
    sequence: AtomicU64,
}

/// A file at a path, as a report tells it.
#[derive(Clone)]
pub(crate) struct Found(pub(crate) Observation);

impl Found {
    /// An ELF program of root's, without proof.
    pub(crate) fn new(path: &str, content: &str) -> Self {
        Self::of(path, file(content), content.len() as u64)
    }

    pub(crate) fn of(path: &str, sha256: Sha256, size: u64) -> Self {
        let file = FileFacts {
            sha256,
            sha1: None,
            md5: None,
            blake3: None,
            size,
            kind: FileKind::ElfExecutable,
            mode: 0o100_755,
            uid: 0,
            gid: 0,
            modified_at: 1,
            changed_at: 2,
        };
        Self(Observation {
            file,
            path: PathBytes::new(path),
            usage: Use::Scan,
            scan: None,
            first_observed_at: super::NOON,
            last_observed_at: super::NOON,
            count: 1,
            evidence: Evidence::default(),
            process: None,
            user_writable_folder: false,
            layer: None,
        })
    }

    pub(crate) fn executed(mut self) -> Self {
        self.0.usage = Use::Execute;
        self.0.process = Some(Process {
            pid: 4711,
            start_ticks: 99,
            uid: Some(1000),
            parent_pid: 1,
            parent_path: Some(PathBytes::new("/usr/bin/bash")),
            parent_sha256: None,
            container: None,
        });
        self
    }

    pub(crate) fn in_scan(mut self, scan: ScanId) -> Self {
        self.0.scan = Some(scan);
        self
    }

    pub(crate) fn in_user_writable_folder(mut self) -> Self {
        self.0.user_writable_folder = true;
        self
    }

    pub(crate) fn of_kind(mut self, kind: FileKind) -> Self {
        self.0.file.kind = kind;
        self
    }

    /// dpkg claims the path.
    pub(crate) fn of_package(mut self, name: &str, fit: Fit) -> Self {
        self.0.evidence.package = Some(package(name, fit));
        self
    }

    pub(crate) fn at(mut self, at: i64) -> Self {
        (self.0.first_observed_at, self.0.last_observed_at) = (at, at);
        self
    }
}

pub(crate) fn package(name: &str, fit: Fit) -> PackageEvidence {
    PackageEvidence {
        manager: PackageManager::Dpkg,
        name: name.into(),
        version: "1.2-3".into(),
        origin: "Debian".into(),
        level: Level::Database,
        fit,
    }
}

impl TestHost {
    pub(super) async fn enroll(cms: &TestCms, name: &str, profile: ProfileId, id: HostId) -> Self {
        let facts = HostFacts { host_name: name.into(), ..HostFacts::default() };
        let certificate = Certificate { serial: vec![1], not_after: super::NOON + 90 * 24 * super::HOUR };
        let new = NewHost { id, profile, facts: facts.clone(), certificate, token: mint(cms.now()) };
        cms.store.enroll_host(&new, cms.now()).await.unwrap();
        cms.store.host_seen(id, &facts, "0.1.0", cms.now()).await.unwrap();
        Self { id, epoch: [7; 16], allowlist: cms.allowlist.clone(), sequence: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self, body: ReportBody) -> Report {
        Report { sequence: self.sequence.fetch_add(1, Ordering::SeqCst) + 1, body }
    }

    pub(crate) async fn send(&self, reports: &[Report]) -> Ingested {
        self.allowlist.ingest(self.id, self.epoch, reports).await.unwrap()
    }

    pub(crate) async fn report(&self, bodies: impl IntoIterator<Item = ReportBody>) -> Ingested {
        let reports: Vec<_> = bodies.into_iter().map(|body| self.next(body)).collect();
        self.send(&reports).await
    }

    pub(crate) async fn finds(&self, found: impl IntoIterator<Item = Found>) -> Ingested {
        self.report(found.into_iter().map(|found| ReportBody::Observation(found.0))).await
    }

    /// Somebody runs a program nobody can vouch for.
    pub(crate) async fn executes(&self, path: &str, content: &str) -> Ingested {
        self.finds([Found::new(path, content).executed()]).await
    }

    /// A reference scan that is under way; the host becomes the reference host when there is none.
    pub(crate) async fn scan_requested(&self, cms: &TestCms) -> ScanView {
        let (scan, effect) = cms.store.request_scan(cms.profile, self.id, "ada", cms.now()).await.unwrap();
        cms.signals.tell(&effect);
        scan
    }
}
