//! The one connection to the management server: reports up, verdicts, policy, settings and commands down.
//!
//! [`Uplink::run`] connects, holds a [`session`] for as long as it lasts, and waits before the next one. Nothing is lost when a
//! session ends: what was not acknowledged lies in `pending`, and what the server has to say it says again. The host works on
//! without a session for ever; nothing here may hold up a judgement.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_policy::ScanId;
use doorward_proto::enrollment::HostFacts;
use doorward_proto::limit::MESSAGE_BYTES_MAX;
use doorward_proto::uplink::{Command, CommandResult, ScanProgress, Verdict};
use doorward_proto::v1::uplink_client::UplinkClient;
use doorward_service::Clock;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::credential::Credential;
use crate::health::{FailureReason, Health};
use crate::list::Lists;
use crate::pending::Pending;

mod backoff;
pub(crate) mod dial;
mod end;
mod flow;
mod inbound;
mod outbox;
mod renewal;
mod session;
mod state;

pub use dial::DialError;
pub use state::{Phase, State};

use backoff::Backoff;
use end::End;
use outbox::Outbox;
use session::Session;

/// A session that lasted this long was a good one: the next pause starts over.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// The word for ends that time heals, in logs.
const NETWORK: &str = "network";

/// `[uplink]` of the configuration. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Shortest pause between two connections.
    pub reconnect_min_ms: u64,
    /// Longest pause between two connections.
    pub reconnect_max_ms: u64,
    /// How long connecting may take, and the server's welcome after it.
    pub connect_timeout_ms: u64,
    /// Time between two pings on a quiet connection.
    pub keepalive_interval_ms: u64,
    /// Time a ping may stay unanswered before the connection counts as dead.
    pub keepalive_timeout_ms: u64,
    /// Time between two heartbeats; one is sent at once when something failed.
    pub heartbeat_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reconnect_min_ms: 1_000,
            reconnect_max_ms: 300_000,
            connect_timeout_ms: 15_000,
            keepalive_interval_ms: 20_000,
            keepalive_timeout_ms: 10_000,
            heartbeat_ms: 30_000,
        }
    }
}

impl Settings {
    fn timing(&self) -> dial::Timing {
        dial::Timing {
            connect: Duration::from_millis(self.connect_timeout_ms),
            keepalive_interval: Duration::from_millis(self.keepalive_interval_ms),
            keepalive_timeout: Duration::from_millis(self.keepalive_timeout_ms),
        }
    }
}

/// What the uplink works with.
pub struct Deps {
    /// Where the credential lies, for renewal.
    pub credential_folder: PathBuf,
    /// Who this host is.
    pub credential: Credential,
    /// Reports to send; verdicts to keep.
    pub pending: Pending,
    /// Policy and settings to keep.
    pub lists: Arc<Lists>,
    /// Failures are counted here and told to the server from here.
    pub health: Health,
    /// What the host says about itself.
    pub facts: HostFacts,
    /// `[uplink]`
    pub settings: Settings,
    /// Times in `status`, and the age of the certificate.
    pub clock: Clock,
    /// Random, minted when this process started.
    pub run_id: [u8; 16],
    /// This program's version.
    pub agent_version: String,
    /// 64 random bits at each call, for the pauses; [`dice`] outside tests.
    pub dice: fn() -> u64,
    /// Commands to be carried out. When it is full the server is told so.
    pub commands: mpsc::Sender<Command>,
    /// Verdicts that are news, after they were kept. When it is full they are left out: `Lists` and `pending` have them.
    pub verdicts: mpsc::Sender<Vec<Verdict>>,
}

/// The connection, not yet running.
pub struct Uplink {
    deps: Deps,
    outbox: Outbox,
    state: Arc<watch::Sender<State>>,
}

/// What others see of the uplink and say through it. Cheap to clone; never waits.
#[derive(Debug, Clone)]
pub struct UplinkHandle {
    pending: Arc<watch::Receiver<u64>>,
    outbox: Outbox,
    state: Arc<watch::Sender<State>>,
}

/// 64 bits from the system's random generator, or none at all when it gives none: a pause is then merely not random.
#[must_use]
pub fn dice() -> u64 {
    getrandom::u64().unwrap_or_default()
}

impl UplinkHandle {
    /// How the uplink stands.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Tells the server where a scan stands, at most twice a second; only the newest counts. Its end is told once everything that was
    /// put into `pending` before this call has been acknowledged.
    pub fn progress(&self, progress: ScanProgress) {
        self.outbox.progress(progress, *self.pending.borrow());
    }

    /// Whether the end of a scan still waits for its findings to be acknowledged, or for a connection.
    #[must_use]
    pub fn holds_end_of(&self, scan: &ScanId) -> bool {
        self.outbox.holds_end_of(scan)
    }

    /// Tells the server what became of a command: nothing, or one sentence for people. Kept until there is a connection.
    pub fn finished(&self, id: Uuid, outcome: Result<(), String>) {
        self.outbox.result(CommandResult { id, error: outcome.err() });
    }
}

impl Uplink {
    /// Makes the connection and the handle to it.
    #[must_use]
    pub fn new(deps: Deps) -> (Self, UplinkHandle) {
        let (outbox, state) = (Outbox::default(), Arc::new(watch::Sender::new(State::default())));
        let pending = Arc::new(deps.pending.arrivals());
        let handle = UplinkHandle { pending, outbox: outbox.clone(), state: Arc::clone(&state) };
        (Self { deps, outbox, state }, handle)
    }

    /// Holds the connection until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        let settings = self.deps.settings;
        let (min, max) = (Duration::from_millis(settings.reconnect_min_ms), Duration::from_millis(settings.reconnect_max_ms));
        let mut backoff = Backoff::new(min, max, self.deps.dice);
        loop {
            self.enter(Phase::Connecting, |_| {});
            let (end, lasted) = self.session(&cancel).await;
            if matches!(end, End::Stopped) || cancel.is_cancelled() {
                self.enter(Phase::Waiting, |_| {});
                return;
            }
            if lasted.is_some_and(|lasted| lasted >= STABLE_AFTER) {
                backoff.reset();
            }
            let pause = self.settle(&end, &mut backoff);
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One session from dialling to its end, and how long it lasted after the welcome.
    async fn session(&mut self, cancel: &CancellationToken) -> (End, Option<Duration>) {
        let opened = tokio::select! {
            () = cancel.cancelled() => return (End::Stopped, None),
            opened = Session::open(&self.deps, self.outbox.clone()) => opened,
        };
        let mut session = match opened {
            Ok(session) => session,
            Err(end) => return (end, None),
        };
        let (version, offset) = (session.welcome().cms_version.clone(), session.welcome().now.saturating_sub(self.deps.clock.now_micros()));
        tracing::info!(cms = %self.deps.credential.cms, "connected to the management server");
        self.enter(Phase::Connected, |state| {
            state.cms_version = Some(version);
            state.clock_offset = Some(offset);
        });
        let began = tokio::time::Instant::now();
        let end = session.run(cancel).await;
        if let Some(renewed) = session.finish() {
            self.deps.credential = renewed;
        }
        (end, Some(began.elapsed()))
    }

    /// Counts and logs an end, shows it, and says how long to wait.
    fn settle(&self, end: &End, backoff: &mut Backoff) -> Duration {
        let (phase, reason, pause) = match end {
            End::Refused(_) => (Phase::Refused, FailureReason::UplinkRefused.code(), backoff.long_pause()),
            End::Contract(_) => (Phase::Waiting, FailureReason::UplinkMalformed.code(), backoff.pause()),
            End::Store(error) => (Phase::Waiting, error.reason(), backoff.pause()),
            End::NewEpoch => (Phase::Waiting, FailureReason::PendingRolledBack.code(), backoff.pause()),
            End::Network(_) | End::Stopped => (Phase::Waiting, NETWORK, backoff.pause()),
        };
        // A dead network is no failure of this host; `status` shows it.
        if reason != NETWORK {
            self.deps.health.note_code(reason);
        }
        tracing::warn!(reason, next_attempt_ms = pause.as_millis(), "no connection to the management server: {end}");
        let attempts = backoff.attempts();
        self.enter(phase, |state| {
            state.attempts = attempts;
            state.last_error = Some(end.to_string());
        });
        pause
    }

    fn enter(&self, phase: Phase, change: impl FnOnce(&mut State)) {
        let now = self.deps.clock.now_micros();
        self.state.send_modify(|state| {
            if phase == Phase::Connected {
                state.attempts = 0;
                state.last_error = None;
            }
            (state.phase, state.since) = (phase, now);
            change(state);
        });
    }
}

/// The gRPC client on a connection; what exceeds the contract's message size is refused before it is decoded.
fn client(channel: Channel) -> UplinkClient<Channel> {
    UplinkClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
