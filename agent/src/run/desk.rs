//! Answers on the control socket with what the daemon's parts know.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use doorward_policy::{PathBytes, Sha256};
use doorward_proto::uplink::{ScanState, Verdict};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::scan::{self, Purpose};
use crate::control::connection::Peer;
use crate::control::protocol::{Refusal, RefusalCode, ScanCounts, ScanOutcome};
use crate::control::server::Daemon;
use crate::control::status::{Executions, PolicyStatus, Status};
use crate::control::trust::{Chain, TrustStatus, Unsigned};
use crate::control::why::{Asked, Why};
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::health::FailureReason;
use crate::system::memory;
use crate::trust::Witnessed;
use crate::trust::ledger::Occasion;
use crate::trust::repository::SignedIndexes;
use crate::uplink::UplinkHandle;

/// Longest a file is read for somebody who asks why.
const WHY_DEADLINE: Duration = Duration::from_secs(120);
/// How often somebody who waits for a scan hears of it.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// The daemon as the socket sees it.
pub(super) struct Desk {
    pub(super) agent: Arc<Agent>,
    pub(super) uplink: UplinkHandle,
    pub(super) runtime: Handle,
    pub(super) cancel: CancellationToken,
}

impl Daemon for Desk {
    fn status(&self) -> Status {
        let Self { agent, .. } = self;
        let (settings, policy) = (agent.lists.settings(), agent.lists.policy());
        let (uplink, gauges, counters) = (self.uplink.state().borrow().clone(), agent.pending.gauges(), &agent.counters);
        Status {
            mode: settings.mode,
            host_id: agent.credential.host_id,
            profile_id: agent.credential.profile_id,
            profile: agent.credential.profile.clone(),
            cms: agent.credential.cms.to_string(),
            connected: uplink.is_connected(),
            last_error: uplink.last_error,
            policy: PolicyStatus { epoch: policy.head().epoch, revision: policy.head().revision, records: policy.head().count },
            settings_revision: settings.revision,
            watches: settings.coverage,
            pending: gauges.records,
            awaiting: gauges.awaiting,
            dropped: gauges.lost(agent.health.count(FailureReason::ReportDropped)),
            packages: agent.package_counts(),
            coverage: agent.coverage.borrow().clone(),
            sandbox: agent.sandbox.standing(),
            scan: agent.scans.current().map(|current| current.progress(ScanState::Running)),
            failures: agent.health.counts().into_iter().map(|(code, count)| (code.to_owned(), count)).collect(),
            executions: Executions {
                seen: counters.seen.load(Ordering::Relaxed),
                judged: counters.judged.load(Ordering::Relaxed),
                unresolved: counters.unresolved.load(Ordering::Relaxed),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: agent.started.elapsed().as_secs(),
        }
    }

    fn why(&self, file: &File, path: &PathBytes, caller: Peer) -> Result<Why, Refusal> {
        self.asking(caller, |asked| asked.why(file, path))
    }

    fn chain(&self, file: &File, path: &PathBytes, caller: Peer) -> Result<Chain, Refusal> {
        self.asking(caller, |asked| asked.chain(file, path))
    }

    fn witness(&self, archive: &File, occasion: Occasion) -> Result<Witnessed, Refusal> {
        let agent = &self.agent;
        let keys = agent.lists.settings().archive_keys.clone();
        let witnessed = agent.witness.read(agent.judge.trust(), archive, &keys, occasion, agent.clock.now_micros());
        match &witnessed {
            Witnessed::Signed { package, version, files } => tracing::info!(%package, %version, files, "a signed archive was read"),
            Witnessed::NotSigned { sha256, .. } => {
                agent.health.note(FailureReason::ArchiveNotSigned);
                tracing::warn!(%sha256, "an archive stands in no index signed by a key that counts; nothing it brings is vouched for");
            }
            Witnessed::Unusable { reason } => {
                agent.health.note(FailureReason::ArchiveUnusable);
                tracing::warn!(%reason, "a signed archive cannot be read");
            }
        }
        Ok(witnessed)
    }

    fn witness_end(&self, occasion: Occasion) -> Result<(), Refusal> {
        let agent = &self.agent;
        let ledger = agent.judge.trust().ledger();
        if occasion == Occasion::Transaction {
            ledger.note_told();
        }
        agent.witness.forget();
        ledger.keep().map_err(|error| {
            agent.health.note(FailureReason::LedgerError);
            Refusal::new(RefusalCode::Failed, format!("what was learnt counts, and cannot be put on disk: {error}"))
        })
    }

    fn trust_status(&self) -> TrustStatus {
        let agent = &self.agent;
        let trust = agent.judge.trust();
        let keys = agent.lists.settings().archive_keys.clone();
        let found = SignedIndexes::read(trust.root(), &keys, agent.clock.now_micros().div_euclid(1_000_000));
        TrustStatus::new(agent.package_counts(), trust.ledger().gauges(), keys, &found)
    }

    fn unsigned(&self) -> Vec<Unsigned> {
        let trust = self.agent.judge.trust();
        let Some(current) = trust.current() else { return Vec::new() };
        let keys = self.agent.lists.settings().archive_keys.clone();
        let is_unsigned = |(package, version): &(&str, &str)| !trust.ledger().holds_package(package, version, &keys);
        let unsigned = |(package, version): (&str, &str)| Unsigned { package: package.to_owned(), version: version.to_owned() };
        current.installed().filter(is_unsigned).map(unsigned).collect()
    }

    fn scan(&self, paths: Vec<PathBytes>, progress: &mut dyn FnMut(ScanCounts) -> ControlFlow<()>) -> Result<ScanOutcome, Refusal> {
        let busy = || Refusal::new(RefusalCode::Busy, "another scan is under way on this host; wait for its end");
        let place = self.agent.scans.begin(None).ok_or_else(busy)?;
        let current = place.current.clone();
        let purpose = Purpose::Local(paths);
        let summary = thread::scope(|scope| {
            let scanning = scope.spawn(|| scan::run(&self.agent, &current, &purpose));
            while !scanning.is_finished() {
                thread::park_timeout(PROGRESS_INTERVAL);
                let is_unwanted = progress(ScanCounts::of(&current.progress.reading())).is_break();
                if is_unwanted || self.cancel.is_cancelled() {
                    current.cancel.cancel();
                }
            }
            scanning.join()
        });
        match summary {
            Ok(Ok(summary)) => Ok(ScanOutcome::of(&summary, current.started.elapsed(), memory::peak_mib())),
            Ok(Err(error)) => Err(Refusal::new(RefusalCode::Failed, error.to_string())),
            Err(_) => Err(Refusal::new(RefusalCode::Failed, "the scan panicked; please report this")),
        }
    }
}

impl Desk {
    /// Whether a file's chain or reason is asked for: both start from the same.
    fn asking<T>(&self, caller: Peer, ask: impl FnOnce(&Asked<'_>) -> Result<T, crate::control::why::WhyError>) -> Result<T, Refusal> {
        let failed = |error: std::io::Error| Refusal::new(RefusalCode::Failed, format!("cannot read the mount table: {error}"));
        let mounts = Mounts::read(Path::new(MOUNTINFO)).map_err(failed)?;
        let deadline = Instant::now() + WHY_DEADLINE;
        let asked = Asked {
            judge: &self.agent.judge,
            identifier: &self.agent.identifier,
            mounts: &mounts,
            caller: Some(caller.pid),
            verdict: &|file| self.verdict(file),
            now: self.agent.clock.now_micros(),
            offline: false,
            stop: &|| Instant::now() > deadline || self.cancel.is_cancelled(),
        };
        ask(&asked).map_err(|error| Refusal::new(RefusalCode::Unreadable, error.to_string()))
    }

    /// The last verdict, however light. Without it the answer merely has less to tell.
    fn verdict(&self, file: &Sha256) -> Option<Verdict> {
        self.runtime.block_on(self.agent.pending.verdict(*file)).ok().flatten()
    }
}
