//! The daemon, from its first check to its last flush. This file is the story; each chapter has a file in `run/`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use doorward_policy::PackageManager;
use doorward_service::{Clock, Exit, Lifecycle, notify};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

mod agent;
mod closure;
mod command;
mod desk;
mod insist;
mod inventory;
mod scan;
mod source;
mod turning;
mod upkeep;
mod watching;

use agent::Agent;
use command::Commands;
use desk::Desk;

use crate::config::Settings;
use crate::control::server::Server;
use crate::credential::{self, Credential, CredentialError};
use crate::facts;
use crate::health::FailureReason;
use crate::pending::OpenError;
use crate::system::entropy;
use crate::system::limit;
use crate::system::lock::{InstanceLock, LockError};
use crate::trust;
use crate::uplink::{self, Uplink, UplinkHandle};

/// Commands of the CMS that may wait.
const COMMANDS_MAX: usize = 16;
/// Batches of verdicts that may wait.
const VERDICT_BATCHES_MAX: usize = 64;
/// Longest tasks are waited for when the daemon stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Longest the pending store is waited for after that.
const CLOSE_GRACE: Duration = Duration::from_secs(10);

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nobody enrolled this host.
    #[error(
        "this host is not enrolled, so there is nobody to report to; make a token on the CMS (`doorward-cms token create --profile NAME`) \
         and run `doorward-agent enroll --cms https://HOST:PORT --token TOKEN`"
    )]
    NotEnrolled,
    /// The credential is there and cannot be used.
    #[error("the credential of this host cannot be used: {0}")]
    Credential(#[source] CredentialError),
    /// The state folder cannot be made.
    #[error("cannot make the state folder {}: {source}", folder.display())]
    StateDir {
        /// As configured.
        folder: std::path::PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Another daemon runs, or the lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There can be no store for reports, and the daemon promises not to lose them.
    #[error("reports cannot be kept: {0}")]
    Pending(#[source] OpenError),
    /// The kernel refused something basic.
    #[error("cannot {what}: {source}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A defect.
    #[error("opening the daemon's state panicked; please report this")]
    Panicked,
    /// A loop stood still.
    #[error("a part of the daemon was stuck; it has to be started anew")]
    Stuck,
}

impl RunError {
    /// The process's exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NotEnrolled | Self::Credential(_) => Exit::Config,
            Self::StateDir { .. } => Exit::CannotCreate,
            Self::Lock(LockError::Held) => Exit::Unavailable,
            Self::Lock(LockError::Io(_)) | Self::Pending(_) => Exit::Io,
            Self::Os { .. } => Exit::Os,
            Self::Panicked | Self::Stuck => Exit::Software,
        }
    }
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`RunError`]; being told to stop is none.
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let lifecycle = Lifecycle::with_signals().map_err(|source| RunError::Os { what: "listen for signals", source })?;
    let state_dir = |source| RunError::StateDir { folder: settings.state_dir.clone(), source };
    agent::make_state_dir(&settings.state_dir).map_err(state_dir)?;
    let _lock = InstanceLock::take(&settings.state_dir.join("lock"))?;
    let credential = credential::load(&settings.credential_dir()).map_err(RunError::Credential)?.ok_or(RunError::NotEnrolled)?;
    set_limits();
    tracing::info!(host = %credential.host_id, profile = %credential.profile, version = env!("CARGO_PKG_VERSION"), "starting");

    let agent = open(settings, credential).await?;
    let _packages = watch_packages(&agent);
    let uplink = start_uplink(&agent, &lifecycle);
    drop(lifecycle.spawn(watching::keep_watching(Arc::clone(&agent), lifecycle.cancel())));
    drop(lifecycle.spawn(closure::look_after(Arc::clone(&agent), lifecycle.cancel())));
    upkeep::start(&agent, &lifecycle);
    let control = start_control(&agent, &uplink, &lifecycle);

    notify::ready();
    lifecycle.stopped().await;
    notify::stopping();
    drop(control);
    if let Some(scan) = agent.scans.current() {
        scan.cancel.cancel();
    }
    if let Err(overdue) = lifecycle.shutdown(SHUTDOWN_GRACE).await {
        tracing::warn!(%overdue, "not everything ended in time");
    }
    close(&agent).await
}

/// Opens everything on disk without holding up signals.
async fn open(settings: Settings, credential: Credential) -> Result<Arc<Agent>, RunError> {
    tokio::task::spawn_blocking(move || Agent::open(settings, credential, Clock::system())).await.unwrap_or(Err(RunError::Panicked))
}

/// Follows the package databases; each new generation brings new inodes for the closure too.
fn watch_packages(agent: &Arc<Agent>) -> Option<trust::Watch> {
    let told = {
        let agent = Arc::clone(agent);
        move |outcome: Result<(), trust::Unread>| match outcome {
            Ok(()) => {
                agent.judge.closure().find(&agent.identifier, &agent.settings.root);
                agent.forget_unused_archives();
                agent.packages_read.notify_one();
                tracing::info!("packages changed; their files are vouched for from now on");
            }
            // A package manager is at work; its database will be read when that is over.
            Err(trust::Unread { error: trust::TrustError::Unsettled, .. }) if trust::transaction_is_open(agent.judge.trust().root()) => {}
            Err(error) => {
                agent.health.note(error.manager.into());
                tracing::warn!(%error, "the package database cannot be read again; what was read before stays valid");
            }
        }
    };
    trust::Watch::start(Arc::clone(agent.judge.trust()), told)
        .inspect_err(|error| {
            for manager in [PackageManager::Dpkg, PackageManager::Rpm] {
                agent.health.note(manager.into());
            }
            tracing::error!(%error, "changes of packages are not noticed until the next start");
        })
        .ok()
}

/// Connects to the CMS, and follows what it says.
fn start_uplink(agent: &Arc<Agent>, lifecycle: &Lifecycle) -> UplinkHandle {
    let (commands, commands_taken) = mpsc::channel(COMMANDS_MAX);
    let (verdicts, verdicts_taken) = mpsc::channel(VERDICT_BATCHES_MAX);
    let mut run_id = [0; 16];
    entropy::fill(&mut run_id);
    let (uplink, handle) = Uplink::new(uplink::Deps {
        credential_folder: agent.settings.credential_dir(),
        credential: agent.credential.clone(),
        pending: agent.pending.clone(),
        lists: Arc::clone(&agent.lists),
        health: agent.health.clone(),
        facts: facts::gather(&agent.settings.root),
        settings: agent.settings.uplink,
        clock: agent.clock.clone(),
        run_id,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        dice: uplink::dice,
        commands,
        verdicts,
    });
    drop(lifecycle.spawn(uplink.run(lifecycle.cancel())));
    drop(lifecycle.spawn(turning::follow(Arc::clone(agent), verdicts_taken, lifecycle.cancel())));
    let (agent, uplink, lifecycle) = (Arc::clone(agent), handle.clone(), lifecycle.clone());
    let carrying_out = Commands { agent, uplink, lifecycle: lifecycle.clone(), requests: Arc::default() };
    carrying_out.resume();
    drop(lifecycle.spawn(carrying_out.take(commands_taken)));
    handle
}

/// Listens on the control socket. A host whose socket cannot be made is still watched.
fn start_control(agent: &Arc<Agent>, uplink: &UplinkHandle, lifecycle: &Lifecycle) -> Option<Server> {
    let desk = Desk { agent: Arc::clone(agent), uplink: uplink.clone(), runtime: Handle::current(), cancel: lifecycle.cancel() };
    let socket = agent.settings.socket();
    Server::start(&socket, Arc::new(desk), agent.health.clone())
        .inspect_err(|error| tracing::error!(socket = %socket.display(), %error, "`status` and `why` cannot ask this daemon"))
        .ok()
}

/// Puts on disk what is only in memory.
async fn close(agent: &Arc<Agent>) -> Result<(), RunError> {
    let keeping = Arc::clone(agent);
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || upkeep::keep(&keeping)).await {
        tracing::warn!(%error, "what was learned of files is not on disk; it is learned again");
    }
    if tokio::time::timeout(CLOSE_GRACE, agent.pending.close()).await.is_err() {
        tracing::warn!("the store of unsent reports did not close in time; what it acknowledged is on disk");
    }
    match agent.health.count(FailureReason::LoopStuck) {
        0 => Ok(()),
        _ => Err(RunError::Stuck),
    }
}

/// What suits every mode. Locking memory and hiding from the out-of-memory killer are for a daemon that executions wait for.
fn set_limits() {
    // Events in flight are bounded by a quarter of the limit, so it is worth raising as far as allowed.
    if let Err(error) = limit::raise_descriptors() {
        tracing::warn!(%error, "fewer events can be in flight");
    }
    if let Err(error) = limit::forbid_core_dumps() {
        tracing::warn!(%error, "a crash may hold executions up while its dump is written");
    }
}
