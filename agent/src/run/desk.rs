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
use crate::control::why::{Asked, Why};
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::health::FailureReason;
use crate::system::memory;
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
        asked.why(file, path).map_err(|error| Refusal::new(RefusalCode::Unreadable, error.to_string()))
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
    /// The last verdict, however light. Without it the answer merely has less to tell.
    fn verdict(&self, file: &Sha256) -> Option<Verdict> {
        self.runtime.block_on(self.agent.pending.verdict(*file)).ok().flatten()
    }
}
