//! From the listening socket to authenticated connections: TLS 1.3 with a deadline, and a bound on everything a stranger or one host can
//! take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_proto::tls::peer_host;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crowd::Crowd;
use super::tally::Tally;
use super::wire::{Life, Peer, Wire};
use crate::lease::Lease;

/// For TCP accepted to TLS established. Slow links of real hosts need a few round trips.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Handshakes under way at once. Whoever is behind them is nobody yet, so they get a part of the places only.
const HANDSHAKES_MAX: usize = 4096;

/// Connections without a certificate at once. They can only enroll.
const STRANGERS_MAX: usize = 512;

/// How long a connection without a certificate lives.
const STRANGER_LIFE: Duration = Duration::from_secs(60);

/// How long a host's connection stands without a stream or a request on it.
const IDLE: Duration = Duration::from_secs(60);

/// Pause after the system could not accept, as when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until `cancel` and hands established ones to `ready`.
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) tls: TlsAcceptor,
    pub(super) ready: mpsc::Sender<Wire>,
    pub(super) connections_max: usize,
    pub(super) tally: Arc<Tally>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

struct Bounds {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    crowd: Arc<Crowd>,
}

impl Acceptor {
    pub(super) async fn run(self) {
        let bounds = Bounds {
            connections: Arc::new(Semaphore::new(self.connections_max)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            crowd: Arc::default(),
        };
        loop {
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, address)) => self.take(socket, address, &bounds),
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted at the moment; raise the limit of open files if this goes on");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, socket: TcpStream, address: SocketAddr, bounds: &Bounds) {
        let place = Arc::clone(&bounds.connections).try_acquire_owned();
        let turn = Arc::clone(&bounds.handshakes).try_acquire_owned();
        let (Ok(place), Ok(turn)) = (place, turn) else {
            Tally::add(&self.tally.connections_refused, 1);
            return;
        };
        let handshake = Handshake {
            tls: self.tls.clone(),
            _turn: turn,
            strangers: Arc::clone(&bounds.strangers),
            crowd: Arc::clone(&bounds.crowd),
            tally: Arc::clone(&self.tally),
            ready: self.ready.clone(),
        };
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = handshake.run(socket, address, place) => {}
            }
        });
    }
}

struct Handshake {
    tls: TlsAcceptor,
    /// Given back when the handshake has ended.
    _turn: OwnedSemaphorePermit,
    strangers: Arc<Semaphore>,
    crowd: Arc<Crowd>,
    tally: Arc<Tally>,
    ready: mpsc::Sender<Wire>,
}

impl Handshake {
    async fn run(self, socket: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
        match tokio::time::timeout(HANDSHAKE_DEADLINE, self.shake(socket, address, place)).await {
            // An error says that the server has stopped taking connections.
            Ok(Ok(wire)) => drop(self.ready.send(wire).await),
            Ok(Err(reason)) => {
                Tally::add(&self.tally.handshakes_failed, 1);
                tracing::debug!(%address, %reason, "a handshake failed");
            }
            Err(_) => {
                Tally::add(&self.tally.handshakes_failed, 1);
                tracing::debug!(%address, "a handshake took too long");
            }
        }
    }

    async fn shake(&self, socket: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) -> Result<Wire, String> {
        // Small messages go out at once: acknowledgements and verdicts are waited for.
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        let stream = self.tls.accept(socket).await.map_err(|error| error.to_string())?;
        let host = peer_host(stream.get_ref().1.peer_certificates()).map_err(|error| error.to_string())?;
        let mut places = vec![place];
        let lease = Lease::new();
        let life = if let Some(host) = host {
            let Some(place) = self.crowd.enter(host) else {
                Tally::add(&self.tally.connections_refused, 1);
                return Err(format!("host {host} has too many connections already"));
            };
            Life::Host(lease.watch(IDLE), place)
        } else {
            let stranger = Arc::clone(&self.strangers).try_acquire_owned();
            places.push(stranger.map_err(|_| "too many connections without a certificate".to_owned())?);
            Life::Stranger(Box::pin(tokio::time::sleep(STRANGER_LIFE)))
        };
        Ok(Wire { stream, peer: Peer { address, host, lease }, life, _places: places })
    }
}
