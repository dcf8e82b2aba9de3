//! A management server that says what a story wants it to say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_policy::{HostId, ProfileId, TrustRules};
use doorward_proto::certificate::{Authority, HOST_DAYS, SERVER_DAYS, Validity};
use doorward_proto::enrollment::{EnrollRequest, EnrollResponse, RenewRequest, RenewResponse};
use doorward_proto::limit::PROTOCOL;
use doorward_proto::report::Report;
use doorward_proto::snapshot::{Policy, PolicySigner, Position, Record};
use doorward_proto::tls::{Now, ServerIdentity, peer_host, server_config};
use doorward_proto::token::Token;
use doorward_proto::uplink::{AgentMessage, CmsMessage, Hello, Welcome};
use doorward_proto::v1;
use doorward_proto::v1::enrollment_server::{Enrollment, EnrollmentServer};
use doorward_proto::v1::uplink_server::{Uplink, UplinkServer};
use doorward_service::Clock;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The longest anything in a story may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

/// Polls until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// What both services share.
struct Shared {
    authority: Authority,
    signer: PolicySigner,
    clock: Clock,
    hosts: Mutex<u8>,
    /// Spoils the answer to an enrollment.
    spoil: Mutex<Option<fn(&mut v1::EnrollResponse)>>,
    links: mpsc::Sender<Link>,
}

/// The server; it stops when it is dropped.
pub(crate) struct TestCms {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    shared: Arc<Shared>,
    links: mpsc::Receiver<Link>,
    _tasks: JoinSet<()>,
}

pub(crate) fn profile() -> ProfileId {
    ProfileId::from_slice(&[3; 16]).unwrap()
}

pub(crate) fn authority(clock: &Clock) -> Authority {
    Authority::load(&Authority::create("test", clock.now_micros()).unwrap()).unwrap()
}

pub(crate) fn signer() -> PolicySigner {
    PolicySigner::from_pem(&PolicySigner::generate_pem().unwrap()).unwrap()
}

impl TestCms {
    /// A server on a port of its own.
    pub(crate) async fn new() -> Self {
        let clock = Clock::system();
        Self::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), authority(&clock), None, &["localhost"], clock).await
    }

    /// A server on this listener that takes hosts of another authority than the one its own certificate is from, if one is given.
    pub(crate) async fn start(
        listener: TcpListener,
        authority: Authority,
        hosts_of: Option<&Authority>,
        names: &[&str],
        clock: Clock,
    ) -> Self {
        let now = clock.now_micros();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let credential = authority.issue_server(&names, Validity::days(now, SERVER_DAYS)).unwrap();
        let (tls_clock, ca) = (clock.clone(), hosts_of.unwrap_or(&authority).certificate().to_vec());
        let identity = Arc::new(ServerIdentity::new(credential).unwrap());
        let tls = server_config(identity, &ca, Now::new(move || tls_clock.now_micros())).unwrap();
        let (sender, links) = mpsc::channel(16);
        let shared = Arc::new(Shared {
            authority,
            signer: signer(),
            clock: clock.clone(),
            hosts: Mutex::new(0),
            spoil: Mutex::new(None),
            links: sender,
        });
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let (streams, incoming) = mpsc::channel(16);
        tasks.spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), streams));
        let router = tonic::transport::Server::builder()
            .add_service(EnrollmentServer::from_arc(Arc::clone(&shared)))
            .add_service(UplinkServer::from_arc(Arc::clone(&shared)));
        tasks.spawn(async move { router.serve_with_incoming(ReceiverStream::new(incoming)).await.unwrap() });
        Self { address, clock, shared, links, _tasks: tasks }
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    pub(crate) fn url(&self, name: &str) -> doorward_agent::credential::CmsUrl {
        format!("https://{name}:{}", self.address.port()).parse().unwrap()
    }

    pub(crate) fn token(&self) -> Token {
        Token::new([1; 16], self.shared.authority.key_hash())
    }

    pub(crate) fn spoil_enrollment(&self, spoil: fn(&mut v1::EnrollResponse)) {
        *self.shared.spoil.lock().unwrap() = Some(spoil);
    }

    pub(crate) fn publish(&self, revision: u64, records: impl IntoIterator<Item = Record>) -> Policy {
        publish(&self.shared.signer, revision, records)
    }

    /// The next stream a host opens, before anything was said on it.
    pub(crate) async fn link(&mut self) -> Link {
        soon("a connection", self.links.recv()).await.unwrap()
    }

    /// The next stream, with its hello answered.
    pub(crate) async fn welcomed(&mut self, acknowledged: u64) -> Link {
        let mut link = self.link().await;
        link.hello().await;
        link.welcome(acknowledged, 1_024).await;
        link
    }
}

pub(crate) fn publish(signer: &PolicySigner, revision: u64, records: impl IntoIterator<Item = Record>) -> Policy {
    Policy::publish(profile(), Position { epoch: 1, revision }, TrustRules::default(), records, signer).unwrap()
}

type TlsStream = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, streams: mpsc::Sender<std::io::Result<TlsStream>>) {
    let mut handshakes = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, streams) = (acceptor.clone(), streams.clone());
        handshakes.spawn(async move {
            // A failed handshake is the peer's to hear of, not the server's to end over.
            if let Ok(tls) = acceptor.accept(tcp).await {
                let _ = streams.send(Ok(tls)).await;
            }
        });
    }
}

fn host_of<T>(request: &Request<T>) -> Result<HostId, Status> {
    let certificates = request.peer_certs();
    let host = peer_host(certificates.as_ref().map(|certificates| certificates.as_slice()));
    host.ok().flatten().ok_or_else(|| Status::unauthenticated("no certificate"))
}

#[tonic::async_trait]
impl Enrollment for Shared {
    async fn enroll(&self, request: Request<v1::EnrollRequest>) -> Result<Response<v1::EnrollResponse>, Status> {
        let request = EnrollRequest::try_from(request.into_inner()).map_err(|error| Status::invalid_argument(error.to_string()))?;
        if request.token_secret != Token::new([1; 16], [0; 32]).secret() {
            return Err(Status::permission_denied("token"));
        }
        let number = {
            let mut hosts = self.hosts.lock().unwrap();
            *hosts += 1;
            *hosts
        };
        let host_id = HostId::from_slice(&[number; 16]).unwrap();
        let validity = Validity::days(self.clock.now_micros(), HOST_DAYS);
        let chain = self.authority.sign_host(&request.certificate_request, &host_id, validity).unwrap();
        let mut answer = v1::EnrollResponse::from(EnrollResponse {
            host_id,
            certificate_chain: chain.into_iter().map(Into::into).collect(),
            ca_certificate: self.authority.certificate().to_vec().into(),
            policy_key: *self.signer.verifier().key(),
            profile_id: profile(),
            profile_name: "default".into(),
        });
        if let Some(spoil) = *self.spoil.lock().unwrap() {
            spoil(&mut answer);
        }
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl Uplink for Shared {
    type ConnectStream = ReceiverStream<Result<v1::CmsMessage, Status>>;

    async fn connect(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let host = host_of(&request)?;
        let (outbound, answers) = mpsc::channel(64);
        let link = Link { host, inbound: request.into_inner(), outbound };
        self.links.send(link).await.map_err(|_| Status::unavailable("the story is over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let host = host_of(&request)?;
        let request = RenewRequest::try_from(request.into_inner()).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let validity = Validity::days(self.clock.now_micros(), HOST_DAYS);
        let chain = self.authority.sign_host(&request.certificate_request, &host, validity).unwrap();
        let certificate_chain = chain.into_iter().map(Into::into).collect();
        Ok(Response::new(RenewResponse { certificate_chain }.into()))
    }
}

/// One stream, from the server's side. Dropping it cuts the stream.
pub(crate) struct Link {
    pub(crate) host: HostId,
    inbound: Streaming<v1::AgentMessage>,
    outbound: mpsc::Sender<Result<v1::CmsMessage, Status>>,
}

impl Link {
    pub(crate) async fn say(&self, message: CmsMessage) {
        self.say_raw(message.into()).await;
    }

    pub(crate) async fn say_raw(&self, message: v1::CmsMessage) {
        self.outbound.send(Ok(message)).await.unwrap();
    }

    pub(crate) async fn refuse(self, status: Status) {
        self.outbound.send(Err(status)).await.unwrap();
    }

    pub(crate) async fn welcome(&self, acknowledged: u64, window: u32) {
        self.say(CmsMessage::Welcome(Welcome { protocol: PROTOCOL, cms_version: "test".into(), acknowledged, window, now: 0 })).await;
    }

    /// What the host says next; `None` when it ended the stream.
    pub(crate) async fn hear(&mut self) -> Option<AgentMessage> {
        let heard = soon("a word of the host", self.inbound.message()).await;
        heard.ok().flatten().map(|message| AgentMessage::try_from(message).unwrap())
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.hear().await {
            Some(AgentMessage::Hello(hello)) => hello,
            other => panic!("not a hello: {other:?}"),
        }
    }

    /// What the host says next besides heartbeats, as far as the story is interested.
    pub(crate) async fn hear_about<T>(&mut self, what: &str, mut pick: impl FnMut(AgentMessage) -> Option<T>) -> T {
        loop {
            let message = self.hear().await.unwrap_or_else(|| panic!("the host left instead of saying {what}"));
            if let Some(picked) = pick(message) {
                return picked;
            }
        }
    }

    /// The next reports, at least so many.
    pub(crate) async fn reports(&mut self, at_least: usize) -> Vec<Report> {
        let mut reports = Vec::new();
        while reports.len() < at_least {
            let batch = self.hear_about("reports", |message| if let AgentMessage::Reports(batch) = message { Some(batch) } else { None });
            reports.extend(batch.await.into_reports());
        }
        reports
    }

    /// Waits until the host has left.
    pub(crate) async fn left(mut self) {
        while self.hear().await.is_some() {}
    }
}
