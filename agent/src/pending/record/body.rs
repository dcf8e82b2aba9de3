//! The bodies of reports as they lie on disk, and the last verdict on a file.

use doorward_policy::{PathBytes, ScanId, Sha256, Status, Use};
use doorward_proto::report::{
    ClosureEvent, ClosureNews, Coverage, Denial, FailureCount, Fate, Health, Inventory, InventorySource, Layer, LiveProcess, Observation,
    Source, Turned as TurnedReport, Uncovered, Unjudged,
};
use doorward_proto::uplink::{Verdict, VerdictDecision};
use serde::{Deserialize, Serialize};

use super::Unreadable;
use super::file::{StoredEvidence, StoredFile, StoredPackage, StoredProcess, StoredPublisher, stored_words};

stored_words! {
    StatusWord for Status { Threat, Safe, Unverified }
    FateWord for Fate { Ran, Refused, Killed }
    ClosureWord for ClosureEvent { Changed, FileDenyOverridden, PackageDenyOverridden, PublisherDenyOverridden }
    DecisionWord for VerdictDecision { Undecided, Allow, Deny }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) enum StoredUse {
    Execute,
    Load { opener: Option<[u8; 32]> },
    Scan,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Observed {
    pub(in crate::pending) file: StoredFile,
    pub(in crate::pending) path: Vec<u8>,
    pub(in crate::pending) usage: StoredUse,
    pub(in crate::pending) scan: Option<[u8; 16]>,
    pub(in crate::pending) first_observed_at: i64,
    pub(in crate::pending) last_observed_at: i64,
    pub(in crate::pending) count: u64,
    pub(in crate::pending) evidence: StoredEvidence,
    pub(in crate::pending) process: Option<StoredProcess>,
    user_writable_folder: bool,
    /// Whether it is the upper one, and its folder.
    layer: Option<(bool, Vec<u8>)>,
}

impl Observed {
    pub(in crate::pending) const fn is_execution(&self) -> bool {
        !matches!(self.usage, StoredUse::Scan)
    }

    /// Takes another occurrence of the same thing into the count. The first process stays: it is the one the first report named.
    pub(in crate::pending) fn count_in(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.first_observed_at = self.first_observed_at.min(other.first_observed_at);
        self.last_observed_at = self.last_observed_at.max(other.last_observed_at);
    }
}

impl From<Observation> for Observed {
    fn from(observation: Observation) -> Self {
        Self {
            file: observation.file.into(),
            path: observation.path.as_bytes().to_vec(),
            usage: match observation.usage {
                Use::Execute => StoredUse::Execute,
                Use::Load { opener } => StoredUse::Load { opener: opener.map(|digest| *digest.as_bytes()) },
                Use::Scan => StoredUse::Scan,
            },
            scan: observation.scan.map(|scan| *scan.as_bytes()),
            first_observed_at: observation.first_observed_at,
            last_observed_at: observation.last_observed_at,
            count: observation.count,
            evidence: observation.evidence.into(),
            process: observation.process.map(Into::into),
            user_writable_folder: observation.user_writable_folder,
            layer: observation.layer.map(|layer| (layer.upper, layer.folder.as_bytes().to_vec())),
        }
    }
}

impl TryFrom<Observed> for Observation {
    type Error = Unreadable;

    fn try_from(observed: Observed) -> Result<Self, Unreadable> {
        let scan = observed.scan.map(|id| ScanId::from_slice(&id).ok_or(Unreadable::Impossible("scan id"))).transpose()?;
        Ok(Self {
            file: observed.file.into(),
            path: PathBytes::new(observed.path),
            usage: match observed.usage {
                StoredUse::Execute => Use::Execute,
                StoredUse::Load { opener } => Use::Load { opener: opener.map(Sha256::new) },
                StoredUse::Scan => Use::Scan,
            },
            scan,
            first_observed_at: observed.first_observed_at,
            last_observed_at: observed.last_observed_at,
            count: observed.count,
            evidence: observed.evidence.into(),
            process: observed.process.map(Into::into),
            user_writable_folder: observed.user_writable_folder,
            layer: observed.layer.map(|(upper, folder)| Layer { upper, folder: PathBytes::new(folder) }),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Denied {
    pub(in crate::pending) observed: Observed,
    pub(in crate::pending) row: u8,
    pub(in crate::pending) undecided: bool,
    pub(in crate::pending) fate: FateWord,
}

impl From<Denial> for Denied {
    fn from(denial: Denial) -> Self {
        Self { observed: denial.observation.into(), row: denial.row, undecided: denial.undecided, fate: denial.fate.into() }
    }
}

impl TryFrom<Denied> for Denial {
    type Error = Unreadable;

    fn try_from(denied: Denied) -> Result<Self, Unreadable> {
        Ok(Self { observation: denied.observed.try_into()?, row: denied.row, undecided: denied.undecided, fate: denied.fate.into() })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Unidentified {
    pub(in crate::pending) path: Vec<u8>,
    pub(in crate::pending) process: StoredProcess,
    pub(in crate::pending) reason: String,
    pub(in crate::pending) fate: FateWord,
    first_observed_at: i64,
    last_observed_at: i64,
    pub(in crate::pending) count: u64,
}

impl Unidentified {
    /// As [`Observed::count_in`].
    pub(in crate::pending) fn count_in(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.first_observed_at = self.first_observed_at.min(other.first_observed_at);
        self.last_observed_at = self.last_observed_at.max(other.last_observed_at);
    }
}

impl From<Unjudged> for Unidentified {
    fn from(unjudged: Unjudged) -> Self {
        Self {
            path: unjudged.path.as_bytes().to_vec(),
            process: unjudged.process.into(),
            reason: unjudged.reason,
            fate: unjudged.fate.into(),
            first_observed_at: unjudged.first_observed_at,
            last_observed_at: unjudged.last_observed_at,
            count: unjudged.count,
        }
    }
}

impl From<Unidentified> for Unjudged {
    fn from(stored: Unidentified) -> Self {
        Self {
            path: PathBytes::new(stored.path),
            process: stored.process.into(),
            reason: stored.reason,
            fate: stored.fate.into(),
            first_observed_at: stored.first_observed_at,
            last_observed_at: stored.last_observed_at,
            count: stored.count,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Needed {
    path: Vec<u8>,
    file: [u8; 32],
    event: ClosureWord,
    source: Option<String>,
    observed_at: i64,
}

impl From<ClosureNews> for Needed {
    fn from(news: ClosureNews) -> Self {
        let ClosureNews { path, file, event, source, observed_at } = news;
        Self { path: path.as_bytes().to_vec(), file: *file.as_bytes(), event: event.into(), source, observed_at }
    }
}

impl From<Needed> for ClosureNews {
    fn from(stored: Needed) -> Self {
        let Needed { path, file, event, source, observed_at } = stored;
        Self { path: PathBytes::new(path), file: Sha256::new(file), event: event.into(), source, observed_at }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Covered {
    covered: Vec<Vec<u8>>,
    uncovered: Vec<(Vec<u8>, String, String)>,
    user_namespaces: bool,
}

impl From<Coverage> for Covered {
    fn from(coverage: Coverage) -> Self {
        Self {
            covered: raw_paths(coverage.covered),
            uncovered: coverage.uncovered.into_iter().map(|it| (it.mount_point.as_bytes().to_vec(), it.filesystem, it.reason)).collect(),
            user_namespaces: coverage.user_namespaces,
        }
    }
}

impl From<Covered> for Coverage {
    fn from(stored: Covered) -> Self {
        let uncovered = |(mount_point, filesystem, reason): (Vec<u8>, String, String)| Uncovered {
            mount_point: PathBytes::new(mount_point),
            filesystem,
            reason,
        };
        Self {
            covered: stored.covered.into_iter().map(PathBytes::new).collect(),
            uncovered: stored.uncovered.into_iter().map(uncovered).collect(),
            user_namespaces: stored.user_namespaces,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) enum SourceKind {
    Package(StoredPackage),
    Publisher(StoredPublisher),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSource {
    source: SourceKind,
    files: u64,
    executed: u64,
    modified: u64,
    scanned: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Inventoried {
    sources: Vec<StoredSource>,
    pub(in crate::pending) complete: bool,
}

impl From<Inventory> for Inventoried {
    fn from(inventory: Inventory) -> Self {
        let stored = |entry: InventorySource| StoredSource {
            source: match entry.source {
                Source::Package(package) => SourceKind::Package(package.into()),
                Source::Publisher(publisher) => SourceKind::Publisher(publisher.into()),
            },
            files: entry.files,
            executed: entry.executed,
            modified: entry.modified,
            scanned: entry.scanned,
        };
        Self { sources: inventory.sources.into_iter().map(stored).collect(), complete: inventory.complete }
    }
}

impl From<Inventoried> for Inventory {
    fn from(stored: Inventoried) -> Self {
        let entry = |stored: StoredSource| InventorySource {
            source: match stored.source {
                SourceKind::Package(package) => Source::Package(package.into()),
                SourceKind::Publisher(publisher) => Source::Publisher(publisher.into()),
            },
            files: stored.files,
            executed: stored.executed,
            modified: stored.modified,
            scanned: stored.scanned,
        };
        Self { sources: stored.sources.into_iter().map(entry).collect(), complete: stored.complete }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Turned {
    pub(in crate::pending) file: [u8; 32],
    paths: Vec<Vec<u8>>,
    live: Vec<(StoredProcess, FateWord)>,
    last_executed_at: Option<i64>,
}

impl Turned {
    pub(in crate::pending) fn tells_of_a_kill(&self) -> bool {
        self.live.iter().any(|(_, fate)| *fate == FateWord::Killed)
    }
}

impl From<TurnedReport> for Turned {
    fn from(turned: TurnedReport) -> Self {
        Self {
            file: *turned.file.as_bytes(),
            paths: raw_paths(turned.paths),
            live: turned.live.into_iter().map(|live| (live.process.into(), live.fate.into())).collect(),
            last_executed_at: turned.last_executed_at,
        }
    }
}

impl From<Turned> for TurnedReport {
    fn from(stored: Turned) -> Self {
        Self {
            file: Sha256::new(stored.file),
            paths: stored.paths.into_iter().map(PathBytes::new).collect(),
            live: stored.live.into_iter().map(|(process, fate)| LiveProcess { process: process.into(), fate: fate.into() }).collect(),
            last_executed_at: stored.last_executed_at,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct Ailing {
    pending: u64,
    dropped: u64,
    failures: Vec<(String, u64)>,
}

impl From<Health> for Ailing {
    fn from(health: Health) -> Self {
        let failures = health.failures.into_iter().map(|failure| (failure.reason, failure.count)).collect();
        Self { pending: health.pending, dropped: health.dropped, failures }
    }
}

impl From<Ailing> for Health {
    fn from(stored: Ailing) -> Self {
        let failures = stored.failures.into_iter().map(|(reason, count)| FailureCount { reason, count }).collect();
        Self { pending: stored.pending, dropped: stored.dropped, failures }
    }
}

/// The last verdict on a file; the file is the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct VerdictRow {
    status: StatusWord,
    reason: String,
    decision: DecisionWord,
    threat_score: Option<u8>,
    threat_name: Option<String>,
    pub(in crate::pending) is_final: bool,
    pub(in crate::pending) change_id: u64,
}

impl From<Verdict> for VerdictRow {
    fn from(verdict: Verdict) -> Self {
        Self {
            status: verdict.status.into(),
            reason: verdict.reason,
            decision: verdict.decision.into(),
            threat_score: verdict.threat_score,
            threat_name: verdict.threat_name,
            is_final: verdict.is_final,
            change_id: verdict.change_id,
        }
    }
}

impl VerdictRow {
    pub(in crate::pending) fn into_verdict(self, file: Sha256) -> Verdict {
        Verdict {
            file,
            status: self.status.into(),
            reason: self.reason,
            decision: self.decision.into(),
            threat_score: self.threat_score,
            threat_name: self.threat_name,
            is_final: self.is_final,
            change_id: self.change_id,
        }
    }
}

fn raw_paths(paths: Vec<PathBytes>) -> Vec<Vec<u8>> {
    paths.into_iter().map(|path| path.as_bytes().to_vec()).collect()
}
