//! An enrolled host with its uplink running: its folders, its store, and what the rest of the agent would see.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use doorward_agent::credential::{Credential, enroll};
use doorward_agent::health::Health;
use doorward_agent::list::{Lists, Trustee};
use doorward_agent::pending::{self, Limits, Options, Pending};
use doorward_agent::uplink::{Deps, Phase, Settings, Uplink, UplinkHandle};
use doorward_policy::{Evidence, FileKind, PathBytes, Sha256, Use};
use doorward_proto::enrollment::HostFacts;
use doorward_proto::report::{FileFacts, Observation, Report, ReportBody};
use doorward_proto::uplink::{Command, Verdict};
use doorward_service::Clock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cms::{TestCms, soon};

/// Commands and bunches of verdicts that wait for the rest of the agent.
pub(crate) const WAITING_MAX: usize = 2;

pub(crate) struct TestHost {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) credential: Credential,
    pub(crate) pending: Pending,
    pub(crate) lists: Arc<Lists>,
    pub(crate) health: Health,
    pub(crate) uplink: UplinkHandle,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) verdicts: mpsc::Receiver<Vec<Verdict>>,
    cancel: CancellationToken,
    running: JoinHandle<()>,
}

/// Pauses of a few milliseconds, and pings that notice a dead line within a second.
pub(crate) const QUICK: Settings = Settings {
    reconnect_min_ms: 5,
    reconnect_max_ms: 40,
    connect_timeout_ms: 5_000,
    keepalive_interval_ms: 200,
    keepalive_timeout_ms: 400,
    heartbeat_ms: 60_000,
};

fn dice() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(7);
    STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) >> 7
}

pub(crate) fn facts() -> HostFacts {
    HostFacts { host_name: "web-1".into(), ..HostFacts::default() }
}

pub(crate) fn open_pending(folder: &Path) -> Pending {
    let limits = Limits { free_bytes_min: 0, ..Limits::default() };
    let opened = Pending::open(&folder.join("pending"), Options { limits, clock: Clock::system(), mint_epoch: pending::random_epoch });
    opened.unwrap().pending
}

impl TestHost {
    /// Enrolls at the server and starts the uplink.
    pub(crate) async fn enrolled(cms: &TestCms) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let credential_folder = folder.path().join("credential");
        let now = cms.clock.now_micros();
        let credential = enroll(&credential_folder, &cms.url("localhost"), &cms.token(), facts(), now).await.unwrap();
        Self::start(folder, credential, cms.clock.clone(), QUICK)
    }

    /// Starts the uplink of a host that was enrolled before.
    pub(crate) fn start(folder: tempfile::TempDir, credential: Credential, clock: Clock, settings: Settings) -> Self {
        let pending = open_pending(folder.path());
        let trustee = Trustee { verifier: credential.policy_verifier(), profile: credential.profile_id };
        let (lists, problems) = Lists::open(&folder.path().join("policy"), trustee);
        assert!(problems.is_empty(), "{problems:?}");
        let (lists, health) = (Arc::new(lists), Health::default());
        let (command_sender, commands) = mpsc::channel(WAITING_MAX);
        let (verdict_sender, verdicts) = mpsc::channel(WAITING_MAX);
        let (uplink, handle) = Uplink::new(Deps {
            credential_folder: folder.path().join("credential"),
            credential: credential.clone(),
            pending: pending.clone(),
            lists: Arc::clone(&lists),
            health: health.clone(),
            facts: facts(),
            settings,
            clock,
            run_id: [5; 16],
            agent_version: "0.1.0".into(),
            dice,
            commands: command_sender,
            verdicts: verdict_sender,
        });
        let cancel = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the host owns the task and waits for it")]
        let running = tokio::spawn(uplink.run(cancel.clone()));
        Self { folder, credential, pending, lists, health, uplink: handle, commands, verdicts, cancel, running }
    }

    /// Ends the uplink and the store, and gives the folders to whoever starts the host again.
    pub(crate) async fn stop(self) -> (tempfile::TempDir, Credential) {
        self.cancel.cancel();
        soon("the end of the uplink", self.running).await.unwrap();
        self.pending.close().await;
        (self.folder, self.credential)
    }

    pub(crate) async fn find(&self, numbers: impl IntoIterator<Item = u32>) {
        self.pending.add_many(numbers.into_iter().map(found).collect()).await.unwrap();
    }

    pub(crate) async fn phase(&self, phase: Phase) {
        let mut state = self.uplink.state();
        soon(phase.word(), state.wait_for(|state| state.phase == phase)).await.unwrap();
    }

    /// Everything that was not acknowledged.
    pub(crate) async fn unacknowledged(&self) -> Vec<u32> {
        let reports = self.pending.batch(0, usize::MAX, usize::MAX).await.unwrap();
        reports.iter().map(number).collect()
    }

    pub(crate) async fn empty(&self) {
        crate::cms::until("acknowledgement of everything", || self.pending.gauges().records == 0).await;
    }
}

pub(crate) fn file(number: u32) -> Sha256 {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    Sha256::new(digest)
}

pub(crate) fn found(number: u32) -> ReportBody {
    let file = FileFacts {
        sha256: file(number),
        sha1: None,
        md5: None,
        blake3: None,
        size: 1,
        kind: FileKind::Script,
        mode: 0o100_755,
        uid: 0,
        gid: 0,
        modified_at: 0,
        changed_at: 0,
    };
    ReportBody::Observation(Observation {
        file,
        path: PathBytes::new(format!("/srv/{number}")),
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
    u32::from_be_bytes(*observation.file.sha256.as_bytes().first_chunk().unwrap())
}

pub(crate) fn numbers(reports: &[Report]) -> Vec<u32> {
    reports.iter().map(number).collect()
}
