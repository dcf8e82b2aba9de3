//! The server as a whole: what is bound, what is served on it, what runs beside it, and how it all ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_proto::certificate::{CertificateError, Validity};
use doorward_proto::limit::MESSAGE_BYTES_MAX;
use doorward_proto::tls::{Now, ServerIdentity, TlsError, server_config};
use doorward_proto::v1::enrollment_server::EnrollmentServer;
use doorward_proto::v1::uplink_server::UplinkServer;
use doorward_service::clock::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::interceptor::InterceptedService;

use super::acceptor::Acceptor;
use super::alive::Alive;
use super::dispatch::dispatch;
use super::place::Sessions;
use super::renewal::{Renewal, issue};
use super::service::{SNAPSHOTS_MAX, Service, Shared, WRITES_MAX, certified};
use super::settings::Settings;
use super::tally::Tally;
use super::watch::Watch;
use super::wire::Wire;
use crate::allowlist::Allowlist;
use crate::enrollment::{Keys, service as first_contact};
use crate::signals::Signals;
use crate::store::{Store, StoreError};

/// Established connections that wait for the HTTP/2 server.
const READY_MAX: usize = 64;

/// How often a silent connection is pinged, and how long the answer may take. Below what home routers and clouds forget within.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Streams of one connection: the long one, a renewal, and room for a reconnect.
const STREAMS_MAX: u32 = 8;

/// Bytes a host may send that nobody has read yet. With ten thousand hosts that all do so at once it is 2.5 GiB.
const WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of headers of one request.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Time for streams to end and last words to be sent when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the server does not start. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}; check [uplink] listen")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Names that no certificate can carry, or none.
    #[error("[uplink] names: {0}")]
    Certificate(#[from] CertificateError),
    /// The CA cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BindError {
    /// What the configuration says is wrong, however often it is tried.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Certificate(_))
    }
}

/// Why a running server ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the uplink ended: {0}")]
pub struct ServeError(#[from] tonic::transport::Error);

/// A bound server; hosts wait in the socket's queue until [`Self::serve`].
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    identity: Arc<ServerIdentity>,
    validity: Validity,
    settings: Settings,
    signals: Signals,
    shared: Arc<Shared>,
    cancel: CancellationToken,
}

impl Server {
    /// Makes the server's certificate and binds. No host is answered yet.
    ///
    /// # Errors
    /// See [`BindError`].
    pub async fn bind(
        settings: &Settings,
        keys: &Keys,
        store: Store,
        allowlist: Allowlist,
        signals: Signals,
        clock: Clock,
    ) -> Result<Self, BindError> {
        let (credential, validity) = issue(keys.authority(), &settings.names, clock.now_micros())?;
        let identity = Arc::new(ServerIdentity::new(credential)?);
        let listen = |source| BindError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        store.all_disconnected().await?;
        let cancel = CancellationToken::new();
        let shared = Arc::new(Shared {
            store,
            allowlist,
            keys: keys.clone(),
            clock,
            sessions: Arc::default(),
            tally: Arc::default(),
            alive: Alive::default(),
            writes: Semaphore::new(WRITES_MAX),
            snapshots: Semaphore::new(SNAPSHOTS_MAX),
            begun: std::sync::Mutex::default(),
            presence: Mutex::default(),
            tasks: TaskTracker::new(),
            cancel: cancel.clone(),
        });
        Ok(Self { listener, address, identity, validity, settings: settings.clone(), signals, shared, cancel })
    }

    /// Where hosts are taken; the real port when 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Who is connected; stays valid while the server runs.
    #[must_use]
    pub fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.shared.sessions)
    }

    /// Counters; stay valid while the server runs.
    #[must_use]
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.shared.tally)
    }

    /// Serves until `cancel`, then ends every stream with "come back" and waits at most [`DRAIN`].
    ///
    /// # Errors
    /// When the HTTP/2 server gives up by itself.
    pub async fn serve(self, cancel: CancellationToken) -> Result<(), ServeError> {
        let shared = Arc::clone(&self.shared);
        let own = self.cancel.clone();
        // Ends with this future too, not only with the caller's word.
        let _stop = own.clone().drop_guard();
        let incoming = self.start();
        let mut served = std::pin::pin!(router(&shared).serve_with_incoming_shutdown(incoming, own.cancelled()));
        tokio::select! {
            served = &mut served => served?,
            () = cancel.cancelled() => {
                own.cancel();
                let drained = async {
                    let _ = served.await;
                    shared.tasks.close();
                    shared.tasks.wait().await;
                };
                if tokio::time::timeout(DRAIN, drained).await.is_err() {
                    tracing::warn!("some hosts did not let go in time; their streams are cut");
                }
            }
        }
        Ok(())
    }

    /// Starts everything beside the HTTP/2 server; gives the connections it is to serve.
    fn start(self) -> impl Stream<Item = Result<Wire, io::Error>> {
        let Self { listener, identity, validity, settings, signals, shared, cancel, .. } = self;
        let now = Now::new({
            let clock = shared.clock.clone();
            move || clock.now_micros()
        });
        let authority = Arc::clone(shared.keys.authority());
        let tls = server_config(Arc::clone(&identity), authority.certificate(), now);
        let tls = TlsAcceptor::from(Arc::new(tls.expect("the CA was usable when the server was bound")));
        let (ready, connections) = mpsc::channel(READY_MAX);
        let tasks = shared.tasks.clone();
        let acceptor = Acceptor {
            listener,
            tls,
            ready,
            connections_max: settings.connections_max,
            tally: Arc::clone(&shared.tally),
            tasks: tasks.clone(),
            cancel: cancel.clone(),
        };
        tasks.spawn(acceptor.run());
        tasks.spawn(dispatch(Arc::clone(&shared.sessions), signals.subscribe(), cancel.clone()));
        let clock = shared.clock.clone();
        tasks.spawn(Renewal { authority, identity, names: settings.names, validity, clock, cancel: cancel.clone() }.run());
        let silent_after = Duration::from_secs(settings.silent_after_s.into());
        tasks.spawn(Watch { store: shared.store.clone(), clock: shared.clock.clone(), silent_after, cancel: cancel.clone() }.run());
        tasks.spawn(async move { shared.alive.run(&shared.store, &shared.clock, &cancel).await });
        ReceiverStream::new(connections).map(Ok)
    }
}

fn router(shared: &Arc<Shared>) -> tonic::transport::server::Router {
    let enrollment = first_contact::Service::new(shared.store.clone(), shared.keys.clone(), shared.clock.clone());
    let uplink = UplinkServer::new(Service(Arc::clone(shared))).max_decoding_message_size(MESSAGE_BYTES_MAX);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .add_service(EnrollmentServer::new(enrollment).max_decoding_message_size(first_contact::MESSAGE_BYTES_MAX))
        .add_service(InterceptedService::new(uplink, certified(Arc::clone(&shared.tally))))
}
