//! The host's end of the wire, reduced to what a story says and hears.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use doorward_policy::HostId;
use doorward_proto::certificate::{HostKey, chain_to_pem};
use doorward_proto::enrollment::{EnrollRequest, EnrollResponse, HostFacts};
use doorward_proto::limit::PROTOCOL;
use doorward_proto::report::{Batch, Report};
use doorward_proto::snapshot::{Assembler, Policy, PolicyVerifier, Position};
use doorward_proto::tls::{Identity, Now, client_config, pinned_client_config};
use doorward_proto::token::Token;
use doorward_proto::uplink::{AgentMessage, CmsMessage, HostSettings, Verdict, Welcome};
use doorward_proto::v1;
use doorward_proto::v1::enrollment_client::EnrollmentClient;
use doorward_proto::v1::uplink_client::UplinkClient;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::{TestServer, soon};
use crate::story::NOON;

pub(crate) fn now() -> Now {
    Now::new(|| NOON)
}

/// A connection with these credentials, of which the handshake may still fail on the other side.
pub(crate) async fn channel(address: SocketAddr, config: ClientConfig) -> Result<Channel, tonic::transport::Error> {
    channel_from(Endpoint::from_static("http://localhost"), address, config).await
}

async fn channel_from(endpoint: Endpoint, address: SocketAddr, config: ClientConfig) -> Result<Channel, tonic::transport::Error> {
    let tls = TlsConnector::from(Arc::new(config));
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let tls = tls.clone();
        async move {
            let socket = TcpStream::connect(address).await?;
            let stream = tls.connect("localhost".try_into().unwrap(), socket).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    endpoint.connect_with_connector(connector).await
}

/// A host with its certificate.
pub(crate) struct TestAgent {
    pub(crate) id: HostId,
    pub(crate) response: EnrollResponse,
    pub(crate) key_pem: String,
    pub(crate) store_epoch: [u8; 16],
    pub(crate) run_id: [u8; 16],
}

impl TestAgent {
    pub(crate) async fn enroll(server: &TestServer, name: &str, token: &Token) -> Result<Self, Status> {
        let key = HostKey::generate().unwrap();
        Self::enroll_with(server, name, token, &key, key.request_der()).await
    }

    pub(crate) async fn enroll_with(server: &TestServer, name: &str, token: &Token, key: &HostKey, request: &[u8]) -> Result<Self, Status> {
        let channel = channel(server.address, pinned_client_config(*token.ca_key_hash(), now())).await.unwrap();
        let request = EnrollRequest {
            token_secret: token.secret().to_owned(),
            certificate_request: Bytes::copy_from_slice(request),
            facts: HostFacts { host_name: name.into(), ..HostFacts::default() },
        };
        let response = soon("the enrollment", EnrollmentClient::new(channel).enroll(v1::EnrollRequest::from(request))).await?;
        let response = EnrollResponse::try_from(response.into_inner()).unwrap();
        Ok(Self { id: response.host_id, response, key_pem: key.key_pem().to_owned(), store_epoch: [3; 16], run_id: [1; 16] })
    }

    /// The same machine after its agent was started anew, or its copy.
    pub(crate) fn run(&self, run: u8) -> Self {
        let Self { id, response, key_pem, store_epoch, .. } = self;
        Self { id: *id, response: response.clone(), key_pem: key_pem.clone(), store_epoch: *store_epoch, run_id: [run; 16] }
    }

    pub(crate) fn tls(&self) -> ClientConfig {
        let identity = Identity::from_pem(&chain_to_pem(&self.response.certificate_chain), &self.key_pem).unwrap();
        client_config(identity, &self.response.ca_certificate, now()).unwrap()
    }

    pub(crate) async fn client(&self, server: &TestServer) -> UplinkClient<Channel> {
        UplinkClient::new(channel(server.address, self.tls()).await.unwrap())
    }

    pub(crate) fn hello(&self) -> v1::Hello {
        v1::Hello {
            protocol: PROTOCOL,
            agent_version: "0.1.0".into(),
            store_epoch: Bytes::copy_from_slice(&self.store_epoch),
            run_id: Bytes::copy_from_slice(&self.run_id),
            facts: Some(v1::HostFacts { host_name: "web-1".into(), ..v1::HostFacts::default() }),
            ..v1::Hello::default()
        }
    }

    pub(crate) async fn connect(&self, server: &TestServer) -> TestStream {
        self.connect_with(server, self.hello()).await.unwrap()
    }

    pub(crate) async fn connect_with(&self, server: &TestServer, hello: v1::Hello) -> Result<TestStream, Status> {
        TestStream::welcomed(&mut self.client(server).await, hello).await
    }

    /// As a host that takes next to nothing until it is asked to.
    pub(crate) async fn connect_deaf(&self, server: &TestServer) -> TestStream {
        let endpoint = Endpoint::from_static("http://localhost").initial_stream_window_size(1024);
        let channel = channel_from(endpoint, server.address, self.tls()).await.unwrap();
        TestStream::welcomed(&mut UplinkClient::new(channel), self.hello()).await.unwrap()
    }

    pub(crate) fn verifier(&self) -> PolicyVerifier {
        PolicyVerifier::new(self.response.policy_key)
    }

    pub(crate) fn assembler(&self) -> Assembler {
        Assembler::new(self.verifier(), self.response.profile_id)
    }
}

/// An open stream.
pub(crate) struct TestStream {
    outgoing: Option<mpsc::Sender<v1::AgentMessage>>,
    incoming: Streaming<v1::CmsMessage>,
    welcome: Option<Welcome>,
}

impl TestStream {
    async fn welcomed(client: &mut UplinkClient<Channel>, hello: v1::Hello) -> Result<Self, Status> {
        let hello = v1::AgentMessage { body: Some(v1::agent_message::Body::Hello(hello)) };
        let mut stream = Self::open(client, [hello]).await?;
        let CmsMessage::Welcome(welcome) = stream.next().await? else { panic!("the first message is a welcome") };
        stream.welcome = Some(welcome);
        Ok(stream)
    }

    pub(crate) async fn open(
        client: &mut UplinkClient<Channel>,
        first: impl IntoIterator<Item = v1::AgentMessage>,
    ) -> Result<Self, Status> {
        let (sender, receiver) = mpsc::channel(64);
        for message in first {
            sender.send(message).await.unwrap();
        }
        let response = soon("the stream", client.connect(ReceiverStream::new(receiver))).await?;
        Ok(Self { outgoing: Some(sender), incoming: response.into_inner(), welcome: None })
    }

    pub(crate) const fn welcome(&self) -> &Welcome {
        self.welcome.as_ref().expect("the stream was opened with a hello")
    }

    pub(crate) async fn send(&self, message: AgentMessage) {
        self.send_raw(message.into()).await;
    }

    pub(crate) async fn send_raw(&self, message: v1::AgentMessage) {
        // A stream that has ended takes nothing; what it says last is heard by `next`.
        let _ = self.outgoing.as_ref().expect("not closed").send(message).await;
    }

    pub(crate) async fn report(&self, reports: impl IntoIterator<Item = Report>) {
        let mut batch = Batch::default();
        reports.into_iter().for_each(|report| batch.push(report).unwrap());
        self.send(AgentMessage::Reports(batch)).await;
    }

    /// Closes this side in order.
    pub(crate) fn close(&mut self) {
        self.outgoing = None;
    }

    pub(crate) async fn next(&mut self) -> Result<CmsMessage, Status> {
        let message = soon("a message", self.incoming.message()).await?;
        let message = message.ok_or_else(|| Status::new(Code::Ok, "the stream ended"))?;
        Ok(message.try_into().expect("the CMS sends what the contract allows"))
    }

    /// The first message `pick` takes; others are passed over.
    pub(crate) async fn hear<T>(&mut self, mut pick: impl FnMut(CmsMessage) -> Option<T>) -> T {
        loop {
            match self.next().await {
                Ok(message) => {
                    if let Some(picked) = pick(message) {
                        return picked;
                    }
                }
                Err(status) => panic!("the stream ended before what was waited for: {status:?}"),
            }
        }
    }

    pub(crate) async fn acknowledged(&mut self) -> u64 {
        self.hear(|message| if let CmsMessage::Acknowledge(sequence) = message { Some(sequence) } else { None }).await
    }

    pub(crate) async fn verdicts(&mut self) -> Vec<Verdict> {
        self.hear(|message| if let CmsMessage::Verdicts(verdicts) = message { Some(verdicts) } else { None }).await
    }

    pub(crate) async fn settings(&mut self) -> HostSettings {
        self.hear(|message| if let CmsMessage::Settings(settings) = message { Some(settings) } else { None }).await
    }

    /// The next whole policy, believed as a host believes it.
    pub(crate) async fn snapshot(&mut self, agent: &TestAgent, current: Position) -> Policy {
        let mut assembler = agent.assembler();
        self.hear(|message| match message {
            CmsMessage::PolicySnapshot(part) => assembler.push(part, current).expect("a policy hosts believe"),
            _ => None,
        })
        .await
    }

    /// The status that ends the stream.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }
}
