//! Scans the daemon runs: for the CMS by id, for root on the socket, and for the files of one source. One at a time.
//!
//! A scan for the CMS is written down before it starts and struck out when its end was told, so that one cut short by a kill runs
//! again with the same id. Findings are on disk in `pending` before the scan goes on; when that is full, the scan waits.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use doorward_policy::{Evidence, PackageEvidence, PathBytes, ScanId, Use, Verdict};
use doorward_proto::report::{Observation, ReportBody, Source};
use doorward_proto::uplink::{ScanProgress, ScanState, StartScan};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::agent::Agent;
use crate::health::FailureReason;
use crate::identify::{Identified, SkipReason};
use crate::pending::PendingError;
use crate::pending::limit::ADD_BODIES_MAX;
use crate::scan::{self, Cancel, Finding, Progress, Scan, ScanError, Settled, Sink, Summary};
use crate::system::{durable, memory};

/// Pause before findings that could not be kept are brought again, in milliseconds.
const RETRY_PAUSE_MS: u64 = 500;
/// Files that were not scanned are named in the log so often in one scan.
const NAMED_MAX: u64 = 50;
/// Only root needs to know what is being scanned.
const FILE_MODE: u32 = 0o600;

/// The one scan under way, if there is one, and what is written down of it.
pub(super) struct Scans {
    path: PathBuf,
    current: Mutex<Option<Current>>,
    /// Held while what is written down changes.
    writing: Mutex<()>,
    /// Scans of the CMS whose end it was not told yet.
    untold: Mutex<BTreeSet<ScanId>>,
}

/// A scan under way, for whoever shows or stops it.
#[derive(Clone)]
pub(super) struct Current {
    /// `None` when nobody but this host knows of it.
    pub(super) scan: Option<ScanId>,
    pub(super) progress: Arc<Progress>,
    pub(super) cancel: Cancel,
    pub(super) started: Instant,
}

/// A scan the CMS asked for, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The command's id.
    pub(super) command: Uuid,
    pub(super) scan: ScanId,
    pub(super) reference: bool,
    pub(super) roots: Vec<PathBytes>,
}

/// What a scan is for.
pub(super) enum Purpose {
    /// The CMS asked for it by id.
    Asked(Asked),
    /// Somebody on this host asked for it.
    Local(Vec<PathBytes>),
    /// Only files of this source are reported, and only those among these paths where there are any.
    Source(Source, Vec<PathBytes>),
}

/// The place of the scan under way; another can start when it is dropped.
pub(super) struct Place<'a> {
    scans: &'a Scans,
    pub(super) current: Current,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.scans.lock() = None;
    }
}

impl Asked {
    pub(super) fn new(command: Uuid, start: StartScan) -> Self {
        Self { command, scan: start.scan, reference: start.reference, roots: start.roots }
    }
}

impl Purpose {
    const fn id(&self) -> Option<ScanId> {
        match self {
            Self::Asked(asked) => Some(asked.scan),
            Self::Local(_) | Self::Source(..) => None,
        }
    }

    fn roots(&self) -> Vec<PathBytes> {
        match self {
            Self::Asked(asked) => asked.roots.clone(),
            Self::Local(roots) => roots.clone(),
            Self::Source(_, paths) => paths.clone(),
        }
    }
}

impl Scans {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, current: Mutex::new(None), writing: Mutex::new(()), untold: Mutex::default() }
    }

    /// Takes the place of the one scan that may be under way; `None` when it is taken.
    pub(super) fn begin(&self, scan: Option<ScanId>) -> Option<Place<'_>> {
        let mut current = self.lock();
        if current.is_some() {
            return None;
        }
        let fresh = Current { scan, ..Current::default() };
        *current = Some(fresh.clone());
        Some(Place { scans: self, current: fresh })
    }

    /// The scan under way.
    pub(super) fn current(&self) -> Option<Current> {
        self.lock().clone()
    }

    /// Notes that the CMS waits for this scan's end; false when it does already, since it repeats what it has no answer to.
    pub(super) fn expect(&self, scan: ScanId) -> bool {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner).insert(scan)
    }

    /// Notes that the CMS was told.
    pub(super) fn told(&self, scan: &ScanId) {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner).remove(scan);
    }

    /// Writes down what is about to be scanned. Blocks.
    pub(super) fn write_down(&self, asked: &Asked) -> io::Result<()> {
        let _writing = self.writing();
        durable::replace(&self.path, &serde_json::to_vec(asked)?, FILE_MODE)
    }

    /// Strikes a scan out, if it is the one written down: the next one may have been since. Blocks.
    pub(super) fn strike_out(&self, scan: &ScanId) {
        let _writing = self.writing();
        if self.unfinished().is_some_and(|asked| asked.scan != *scan) {
            return;
        }
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "a finished scan will run once more after the next start");
            }
            _ => {}
        }
    }

    /// A scan that was cut short.
    pub(super) fn unfinished(&self) -> Option<Asked> {
        let text = std::fs::read(&self.path).ok()?;
        let asked = serde_json::from_slice(&text);
        if let Err(error) = &asked {
            tracing::warn!(path = %self.path.display(), %error, "cannot tell which scan was cut short");
        }
        asked.ok()
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Current {
    fn default() -> Self {
        Self { scan: None, progress: Arc::default(), cancel: Cancel::default(), started: Instant::now() }
    }
}

impl Current {
    /// Where the scan stands, in the words of the wire. A scan the CMS does not know has the nil id.
    pub(super) fn progress(&self, state: ScanState) -> ScanProgress {
        let reading = self.progress.reading();
        ScanProgress {
            scan: self.scan.unwrap_or(ScanId::new(Uuid::nil())),
            files: reading.files,
            files_total: reading.files_expected,
            candidates: reading.candidates,
            bytes: reading.bytes,
            package_trusted: reading.package_trusted,
            otherwise_trusted: reading.otherwise_trusted,
            unresolved: reading.unresolved,
            skipped: reading.skipped,
            elapsed_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            state,
        }
    }
}

/// Runs a scan to its end and keeps the inventory of a whole one. Blocks.
///
/// # Errors
/// [`ScanError`]; being stopped is none.
pub(super) fn run(agent: &Agent, current: &Current, purpose: &Purpose) -> Result<Summary, ScanError> {
    let trust = agent.judge.trust().current();
    let settings = agent.lists.settings();
    let by_lists = ByLists(agent);
    let of_source;
    let judge: &dyn scan::Judge = match purpose {
        Purpose::Source(source, _) => {
            of_source = OfSource(source);
            &of_source
        }
        Purpose::Asked(_) | Purpose::Local(_) => &by_lists,
    };
    // Few files, in between everything else this host does.
    let is_of_files = matches!(purpose, Purpose::Source(_, paths) if !paths.is_empty());
    let options = scan::Options {
        root: agent.settings.root.clone(),
        paths: purpose.roots(),
        excluded: settings.exclusions.clone(),
        threads: if is_of_files { 1 } else { agent.settings.scan.threads },
        ..scan::Options::default()
    };
    let is_whole = options.paths.is_empty() && !matches!(purpose, Purpose::Source(..));
    let scan = Scan {
        options,
        identifier: &agent.identifier,
        trust: trust.as_deref(),
        publishers: Some(agent.judge.publishers()),
        judge,
        sink: &ToPending { agent, scan: purpose.id(), cancel: &current.cancel, named: AtomicU64::new(0) },
        progress: &current.progress,
        cancel: &current.cancel,
    };
    let outcome = scan.run();
    // What the threads of the scan took is free now, in pieces between what stays.
    memory::give_back();
    let summary = outcome?;
    if is_whole && !summary.stopped {
        let inventory = agent.inventory.replace(&summary.inventory);
        for part in inventory.split() {
            keep(agent, &current.cancel, vec![ReportBody::Inventory(part)]);
        }
        if let Err(error) = agent.inventory.keep() {
            tracing::warn!(%error, "the inventory cannot be kept on disk");
        }
    }
    Ok(summary)
}

/// Settles by everything the host knows. What is denied or a threat is told to people as well.
struct ByLists<'a>(&'a Agent);

impl scan::Judge for ByLists<'_> {
    fn settle(&self, _: &PathBytes, file: &Identified, evidence: &Evidence) -> Settled {
        let judged = self.0.judge.judge(&file.digests.sha256, &file.identity, evidence);
        match (judged.settled_by(), judged.judgement.verdict) {
            _ if judged.is_bad() => Settled::Unresolved,
            (_, Verdict::Undecided) => Settled::Unresolved,
            (Some(Source::Package(_)), _) => Settled::Package,
            (Some(Source::Publisher(_)), _) => Settled::Publisher,
            (None, _) => Settled::Otherwise,
        }
    }

    fn strengthen(&self, path: &PathBytes, file: &Identified, database: Option<PackageEvidence>) -> Option<PackageEvidence> {
        self.0.judge.strengthen(path, &file.digests.sha256, database)
    }
}

/// Singles out what one source claims.
struct OfSource<'a>(&'a Source);

impl scan::Judge for OfSource<'_> {
    fn settle(&self, _: &PathBytes, _: &Identified, evidence: &Evidence) -> Settled {
        let is_of_source = match self.0 {
            Source::Package(wanted) => {
                evidence.package.as_ref().is_some_and(|package| (package.manager, &package.name) == (wanted.manager, &wanted.name))
            }
            Source::Publisher(wanted) => evidence.publisher.as_ref().is_some_and(|publisher| publisher.fingerprint == wanted.fingerprint),
        };
        if is_of_source { Settled::Unresolved } else { Settled::Otherwise }
    }
}

/// Puts findings on disk before the scan goes on.
struct ToPending<'a> {
    agent: &'a Agent,
    scan: Option<ScanId>,
    cancel: &'a Cancel,
    /// Files named in the log so far.
    named: AtomicU64,
}

impl Sink for ToPending<'_> {
    fn findings(&self, findings: Vec<Finding>) -> ControlFlow<()> {
        let now = self.agent.clock.now_micros();
        let mut reports = findings.into_iter().map(|finding| ReportBody::Observation(self.observation(finding, now)));
        loop {
            let batch: Vec<_> = reports.by_ref().take(ADD_BODIES_MAX).collect();
            if batch.is_empty() {
                return ControlFlow::Continue(());
            }
            if !keep(self.agent, self.cancel, batch) {
                return ControlFlow::Break(());
            }
        }
    }

    fn skipped(&self, path: &PathBytes, reason: SkipReason) {
        if reason.leaves_unknown() {
            self.name(path, reason);
        }
    }
}

impl ToPending<'_> {
    fn name(&self, path: &PathBytes, reason: SkipReason) {
        match self.named.fetch_add(1, Ordering::Relaxed) {
            // SECURITY: shown escaped, like every path.
            before if before < NAMED_MAX => tracing::warn!(%path, reason = reason.word(), "not scanned: {reason}"),
            NAMED_MAX => tracing::warn!("more files are not scanned; they are counted and not named"),
            _ => {}
        }
    }

    fn observation(&self, finding: Finding, now: i64) -> Observation {
        Observation {
            file: (&finding.file).into(),
            path: finding.path,
            usage: Use::Scan,
            scan: self.scan,
            first_observed_at: now,
            last_observed_at: now,
            count: 1,
            evidence: finding.evidence,
            process: None,
            user_writable_folder: finding.user_writable_folder,
            layer: finding.layer,
        }
    }
}

/// Brings reports until they are on disk; false when the scan was stopped meanwhile or the daemon ends.
fn keep(agent: &Agent, cancel: &Cancel, batch: Vec<ReportBody>) -> bool {
    while !cancel.is_cancelled() {
        match agent.pending.add_many_blocking(batch.clone()) {
            Ok(()) => return true,
            Err(error) => {
                agent.health.note_code(error.reason());
                if matches!(error, PendingError::Closed | PendingError::TooLarge { .. }) {
                    agent.health.note_many(FailureReason::ReportDropped, batch.len() as u64);
                    return false;
                }
                thread::sleep(Duration::from_millis(RETRY_PAUSE_MS));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(number: u8) -> Asked {
        let scan = ScanId::from_slice(&[number; 16]).unwrap();
        let roots = vec![PathBytes::new(*b"/opt/\xff\n")];
        Asked { command: Uuid::from_bytes([number; 16]), scan, reference: true, roots }
    }

    #[test]
    fn a_scan_cut_short_is_known_after_a_restart_until_it_is_struck_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scan.json");
        Scans::new(path.clone()).write_down(&asked(1)).unwrap();
        let scans = Scans::new(path.clone());
        assert_eq!(scans.unfinished(), Some(asked(1)));
        scans.write_down(&asked(2)).unwrap();
        scans.strike_out(&asked(1).scan);
        assert_eq!(scans.unfinished(), Some(asked(2)), "the end of the first was told while the second ran");
        scans.strike_out(&asked(2).scan);
        scans.strike_out(&asked(2).scan);
        assert_eq!(scans.unfinished(), None);
        std::fs::write(path, b"{\"command\":").unwrap();
        assert_eq!(scans.unfinished(), None, "half a note is none");
    }

    #[test]
    fn a_repeated_command_starts_no_second_scan() {
        let scans = Scans::new(PathBuf::from("/nonexistent"));
        let scan = asked(1).scan;
        assert!(scans.expect(scan));
        assert!(!scans.expect(scan));
        scans.told(&scan);
        assert!(scans.expect(scan));
    }

    #[test]
    fn only_one_scan_is_under_way() {
        let scans = Scans::new(PathBuf::from("/nonexistent"));
        let place = scans.begin(Some(asked(1).scan)).unwrap();
        assert!(scans.begin(None).is_none());
        assert_eq!(scans.current().unwrap().scan, Some(asked(1).scan));
        drop(place);
        assert!(scans.current().is_none());
        assert!(scans.begin(None).is_some());
    }
}
