//! `serve`: the server, put together. Reads from top to bottom as what happens between the start and the end of the process.
//! When one part ends that should not, all end: a server that only looks alive is worse than none.

use std::convert::Infallible;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_service::{Clock, Exit, Lifecycle, notify};
use tokio::task::JoinError;

use crate::allowlist::Allowlist;
use crate::api::{Api, Intelligence, Socket, SocketError};
use crate::config::Settings;
use crate::enrollment::{Keys, KeysError};
use crate::intel::chance::Chance;
use crate::intel::{self, Engine};
use crate::lock::{LockError, StateLock};
use crate::signals::Signals;
use crate::store::{Store, StoreError};
use crate::uplink;

/// How long parts may take to end once they were asked to.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Where systemd puts keys that came by `LoadCredential=`.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// Why the server did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state folder is another server's.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// CA or policy key: `init` was not run, or this user may not read them.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The `[intel]` table names a file that cannot be used.
    #[error(transparent)]
    Intel(#[from] intel::SettingsError),
    /// Hosts cannot be served.
    #[error(transparent)]
    Uplink(#[from] uplink::BindError),
    /// The API's socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel does not let us listen for signals.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    /// A part ended although nobody asked it to.
    #[error("{part} ended by itself: {reason}")]
    Ended {
        /// Which part.
        part: &'static str,
        /// What it said.
        reason: String,
    },
}

impl ServeError {
    /// The exit code it stands for.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Keys(_) | Self::Intel(_) => Exit::Config,
            Self::Uplink(error) if error.is_configuration() => Exit::Config,
            Self::Store(_) => Exit::Io,
            Self::Lock(LockError::File { .. }) => Exit::Config,
            Self::Lock(LockError::Taken { .. }) | Self::Uplink(_) | Self::Socket(_) => Exit::Unavailable,
            Self::Signals(_) => Exit::Os,
            Self::Ended { .. } => Exit::Software,
        }
    }
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(settings: &Settings) -> Result<(), ServeError> {
    let lifecycle = Lifecycle::with_signals().map_err(ServeError::Signals)?;
    let (clock, signals) = (Clock::system(), Signals::new());

    let credentials = env::var_os(CREDENTIALS_VARIABLE).map(PathBuf::from);
    let keys = Keys::load(&settings.state_dir, credentials.as_deref())?;
    // Before the database is opened, which may already change it.
    let _lock = StateLock::take(&settings.state_dir)?;
    let store = Store::open(&settings.database()).await?;
    let allowlist = Allowlist::new(store.clone(), signals.clone(), Arc::clone(keys.policy_signer()), clock.clone());
    let now = clock.now_micros();
    allowlist.change(|store| async move { Ok::<_, StoreError>(((), store.take_up(now).await?)) }).await?;

    let provider = settings.intel.provider(clock.clone())?;
    let name = provider.name().to_owned();
    let engine = Engine::new(store.clone(), allowlist.clone(), signals.clone(), provider, &settings.intel, clock.clone(), Chance::System);
    let intelligence = Intelligence { provider: name.clone(), control: engine.control() };
    let hosts = uplink::Server::bind(&settings.uplink, &keys, store.clone(), allowlist.clone(), signals, clock).await?;
    let socket = Socket::bind(&settings.socket())?;
    let api = Api::new(allowlist.clone(), intelligence, keys.ca_key_hash());
    tracing::info!(hosts = %hosts.local_addr(), people = %settings.socket().display(), intelligence = name, version = env!("CARGO_PKG_VERSION"), "serving");

    let cancel = lifecycle.cancel();
    let mut engine = lifecycle.spawn(engine.run(cancel.clone()));
    let mut hosts = lifecycle.spawn(hosts.serve(cancel.clone()));
    let mut people = lifecycle.spawn(api.serve(socket, cancel));
    lifecycle.spawn(keep_alive(store.clone(), lifecycle.cancel()));
    notify::ready();

    let ended = tokio::select! {
        // A part that ends because everything was asked to end did nothing wrong.
        biased;
        () = lifecycle.stopped() => None,
        ended = &mut engine => Some(("the look-up engine", told(ended.map(Ok::<_, Infallible>)))),
        ended = &mut hosts => Some(("the hosts' side", told(ended))),
        ended = &mut people => Some(("the people's side", told(ended))),
    };
    notify::stopping();
    if let Err(overdue) = lifecycle.shutdown(SHUTDOWN_GRACE).await {
        tracing::warn!(%overdue, "some work was cut short; nothing that was acknowledged is lost");
    }
    if !allowlist.settled(SHUTDOWN_GRACE).await {
        tracing::warn!("a change was cut short and is undone; whoever asked for it got no answer");
    }
    store.close().await;
    ended.map_or(Ok(()), |(part, reason)| Err(ServeError::Ended { part, reason }))
}

/// Tells the service manager that the server is alive for as long as its database answers.
async fn keep_alive(store: Store, cancel: tokio_util::sync::CancellationToken) {
    let Some(interval) = notify::watchdog_interval() else { return };
    let mut ticks = tokio::time::interval(interval);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        match store.newest_change().await {
            Ok(_) => notify::alive(),
            Err(error) => tracing::error!(%error, "the database does not answer"),
        }
    }
}

/// What a part that ended by itself had to say.
fn told<E: std::fmt::Display>(ended: Result<Result<(), E>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "without a reason".into(),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic.to_string(),
    }
}
