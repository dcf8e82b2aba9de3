//! The gRPC service behind every stream: who it is, whether it may, its hello and its place; then a session takes over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use doorward_policy::{HostId, ProfileId};
use doorward_proto::enrollment::{RenewRequest, RenewResponse};
use doorward_proto::limit::PROTOCOL;
use doorward_proto::uplink::{AgentMessage, Hello};
use doorward_proto::v1;
use doorward_proto::v1::uplink_server::Uplink;
use doorward_service::clock::Clock;
use tokio::sync::{Mutex, Semaphore};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::alive::Alive;
use super::place::{Claim, Sessions};
use super::session::{End, Outbox, Session};
use super::tally::Tally;
use super::wire::Peer;
use crate::allowlist::Allowlist;
use crate::enrollment::Keys;
use crate::enrollment::certify::certify;
use crate::incident::{Detail, Kind};
use crate::store::{Host, NewIncident, Store};

/// For a host to say hello after it opened the stream.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// Messages of hosts that are written at once. The database takes one at a time; a few more keep it busy.
pub(super) const WRITES_MAX: usize = 8;

/// Whole policies sent at once: each holds some MiB until its host has taken them.
pub(super) const SNAPSHOTS_MAX: usize = 32;

/// What every session needs.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) allowlist: Allowlist,
    pub(super) keys: Keys,
    pub(super) clock: Clock,
    pub(super) sessions: Arc<Sessions>,
    pub(super) tally: Arc<Tally>,
    pub(super) alive: Alive,
    /// Fair, so a host that floods waits behind every other.
    pub(super) writes: Semaphore,
    pub(super) snapshots: Semaphore,
    /// Profiles whose policy began a new epoch since the server started.
    pub(super) begun: std::sync::Mutex<BTreeSet<ProfileId>>,
    /// Held while it is written that a host came or went.
    pub(super) presence: Mutex<()>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

/// The gRPC service.
pub(super) struct Service(pub(super) Arc<Shared>);

impl Service {
    /// The host of the certificate, if it may still come.
    async fn host(&self, peer: Option<&Peer>) -> Result<Host, Status> {
        let id: HostId =
            peer.and_then(|peer| peer.host).ok_or_else(|| Status::unauthenticated("no client certificate; enroll this host first"))?;
        let host = self.0.store.host(id).await.map_err(|error| {
            tracing::error!(%error, "a host cannot be looked up");
            Status::unavailable("the server cannot reach its database")
        })?;
        match host {
            Some(host) if host.removed_at.is_none() => Ok(host),
            Some(_) => Err(Status::permission_denied("this host was removed; enroll it again if that was a mistake")),
            None => Err(Status::permission_denied("this server does not know this host; enroll it again")),
        }
    }

    async fn open(&self, peer: Option<&Peer>, inbound: &mut Streaming<v1::AgentMessage>) -> Result<Session, Status> {
        let host = self.host(peer).await?;
        let hello = hello(inbound).await?;
        if hello.protocol != PROTOCOL {
            let said = hello.protocol;
            return Err(Status::failed_precondition(format!("this server speaks protocol {PROTOCOL}, the agent {said}; update the older")));
        }
        let Claim::Granted(place) = self.0.sessions.claim(host.id, host.profile_id, hello.run_id) else {
            self.tell_of_clone(&host, peer).await;
            return Err(Status::aborted("another copy of this machine is connected with the same certificate; enroll one of them anew"));
        };
        let hold = peer.map(|peer| peer.lease.hold());
        Ok(Session { shared: Arc::clone(&self.0), host: host.id, profile: host.profile_id, place, hello, _hold: hold })
    }

    async fn tell_of_clone(&self, host: &Host, peer: Option<&Peer>) {
        Tally::add(&self.0.tally.clones, 1);
        let address = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
        tracing::error!(host = %host.id, address, "two copies of one machine are alive; enroll one of them anew, or their reports mix");
        let detail = Detail::Clone { address };
        let incident = NewIncident { kind: Kind::HostCloned, file: None, host: Some(host.id), detail };
        if let Err(error) = self.0.store.raise_incident(&incident, self.0.clock.now_micros()).await {
            tracing::error!(%error, host = %host.id, "the incident was not written");
        }
    }
}

/// Turns away whoever shows no certificate before a byte of what it sends is read: [`Service`] takes messages of some MiB.
pub(super) fn certified(tally: Arc<Tally>) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |request| {
        if request.extensions().get::<Peer>().is_some_and(|peer| peer.host.is_some()) {
            return Ok(request);
        }
        Tally::add(&tally.refused, 1);
        Err(Status::unauthenticated("no client certificate; enroll this host first"))
    }
}

/// The first message, which must be a hello.
async fn hello(inbound: &mut Streaming<v1::AgentMessage>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_DEADLINE, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello in time"))?;
    let message = match first {
        Ok(Some(message)) => message,
        Ok(None) => return Err(Status::invalid_argument("the stream ended before a hello")),
        Err(status) => return Err(End::of_inbound(&status).status().unwrap_or(status)),
    };
    match AgentMessage::try_from(message).map_err(|error| Status::invalid_argument(error.to_string()))? {
        AgentMessage::Hello(hello) => Ok(hello),
        _ => Err(Status::invalid_argument("the first message is not a hello")),
    }
}

#[tonic::async_trait]
impl Uplink for Service {
    type ConnectStream = ReceiverStream<Result<v1::CmsMessage, Status>>;

    async fn connect(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let _hold = peer.as_ref().map(|peer| peer.lease.hold());
        let mut inbound = request.into_inner();
        let session = self.open(peer.as_ref(), &mut inbound).await.inspect_err(|status| {
            self.0.tally.refused.fetch_add(1, Relaxed);
            tracing::info!(peer = ?peer, code = ?status.code(), "a stream was refused");
        })?;
        let (outbox, outbound) = Outbox::new();
        // From here on nothing waits in this future, which ends when the client leaves: what is written about the host's coming is
        // written by a task that also writes that it went.
        self.0.tasks.spawn(session.run(inbound, outbox));
        Ok(Response::new(ReceiverStream::new(outbound)))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let _hold = peer.as_ref().map(|peer| peer.lease.hold());
        let host = self.host(peer.as_ref()).await?;
        let invalid = |error: &dyn std::fmt::Display| Status::invalid_argument(error.to_string());
        let request = RenewRequest::try_from(request.into_inner()).map_err(|error| invalid(&error))?;
        let now = self.0.clock.now_micros();
        let certified = certify(self.0.keys.authority(), &request.certificate_request, &host.id, now).map_err(|error| invalid(&error))?;
        self.0.store.host_certified(host.id, &certified.certificate).await.map_err(|error| {
            tracing::error!(host = %host.id, %error, "a certificate cannot be renewed");
            Status::unavailable("the server cannot reach its database")
        })?;
        tracing::info!(host = %host.id, "a host's certificate was renewed");
        Ok(Response::new(RenewResponse { certificate_chain: certified.chain }.into()))
    }
}
