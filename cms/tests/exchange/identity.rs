//! Who is at the other end: the certificate says it, and nothing else.

use bytes::Bytes;
use doorward_cms::enrollment::Keys;
use doorward_cms::uplink::Settings;
use doorward_proto::certificate::{HostKey, Validity};
use doorward_proto::enrollment::RenewResponse;
use doorward_proto::snapshot::Position;
use doorward_proto::tls::pinned_client_config;
use doorward_proto::v1;
use doorward_proto::v1::uplink_client::UplinkClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

use crate::story::{HOUR, NOON};
use crate::support::agent::{TestAgent, TestStream, channel, now};
use crate::support::{TestServer, soon, until};

fn hello(agent: &TestAgent) -> [v1::AgentMessage; 1] {
    [v1::AgentMessage { body: Some(v1::agent_message::Body::Hello(agent.hello())) }]
}

#[tokio::test]
async fn a_host_is_welcomed_and_told_how_to_work() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    let welcome = stream.welcome();
    assert_eq!((welcome.acknowledged, welcome.now, welcome.protocol), (0, NOON, 1));
    assert!(welcome.window >= 512);
    assert_eq!(stream.settings().await.revision, 1);
    let policy = stream.snapshot(&agent, Position::default()).await;
    assert_eq!(policy.head().profile, server.cms.profile);

    let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
    assert!(host.connected && server.sessions.is_connected(&agent.id));
    stream.close();
    until("the host to be gone", || async {
        let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
        (!host.connected && server.sessions.connected() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_a_certificate_there_is_no_stream_and_no_renewal() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let stranger = channel(server.address, pinned_client_config(server.keys.ca_key_hash(), now())).await.unwrap();
    let mut client = UplinkClient::new(stranger);
    let status = TestStream::open(&mut client, hello(&agent)).await.err().unwrap();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    let request = Bytes::copy_from_slice(HostKey::generate().unwrap().request_der());
    let status = client.renew(v1::RenewRequest { certificate_request: request }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert_eq!(server.tally.refused(), 2);
}

#[tokio::test]
async fn a_certificate_of_another_ca_fails_the_handshake() {
    let (server, other) = (TestServer::start().await, tempfile::tempdir().unwrap());
    let mut agent = server.enroll("web-1").await;
    let foreign = Keys::create(other.path(), NOON).unwrap();
    let key = HostKey::generate().unwrap();
    let chain = foreign.authority().sign_host(key.request_der(), &agent.id, Validity::days(NOON, 90)).unwrap();
    agent.response.certificate_chain = chain.into_iter().map(Bytes::from).collect();
    agent.key_pem = key.key_pem().to_owned();
    if let Ok(channel) = channel(server.address, agent.tls()).await {
        let refused = TestStream::open(&mut UplinkClient::new(channel), hello(&agent)).await;
        assert!(refused.is_err(), "the refusal comes with the first call at the latest");
    }
    until("the failed handshake", || async { (server.tally.handshakes_failed() == 1).then_some(()) }).await;
    assert_eq!(server.sessions.connected(), 0);
}

#[tokio::test]
async fn a_certificate_that_is_out_of_date_fails_the_handshake() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let tls = agent.tls();
    server.cms.clock.advance(91 * 24 * HOUR);
    if let Ok(channel) = channel(server.address, tls).await {
        assert!(TestStream::open(&mut UplinkClient::new(channel), hello(&agent)).await.is_err());
    }
    until("the failed handshake", || async { (server.tally.handshakes_failed() == 1).then_some(()) }).await;
}

#[tokio::test]
async fn a_host_nobody_knows_any_more_is_refused() {
    let server = TestServer::start().await;
    let mut agent = server.enroll("web-1").await;
    let key = HostKey::generate().unwrap();
    let unknown = doorward_policy::HostId::from_slice(&[9; 16]).unwrap();
    let chain = server.keys.authority().sign_host(key.request_der(), &unknown, Validity::days(NOON, 90)).unwrap();
    agent.response.certificate_chain = chain.into_iter().map(Bytes::from).collect();
    agent.key_pem = key.key_pem().to_owned();
    let status = agent.connect_with(&server, agent.hello()).await.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn removing_a_host_ends_its_stream_and_keeps_it_out() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    let effect = server.cms.store.remove_host(agent.id, "ada", NOON).await.unwrap();
    server.cms.signals.tell(&effect);
    assert_eq!(stream.end().await.code(), Code::PermissionDenied);
    let status = agent.connect_with(&server, agent.hello()).await.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    let request = Bytes::copy_from_slice(HostKey::generate().unwrap().request_der());
    let renewal = agent.client(&server).await.renew(v1::RenewRequest { certificate_request: request }).await;
    assert_eq!(renewal.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_renewed_certificate_is_of_the_same_host_with_a_new_key() {
    let server = TestServer::start().await;
    let mut agent = server.enroll("web-1").await;
    server.cms.clock.advance(50 * 24 * HOUR);
    let key = HostKey::generate().unwrap();
    let request = v1::RenewRequest { certificate_request: Bytes::copy_from_slice(key.request_der()) };
    let renewed = agent.client(&server).await.renew(request).await.unwrap().into_inner();
    let renewed = RenewResponse::try_from(renewed).unwrap();
    let not_after = Validity::of(&renewed.certificate_chain[0]).unwrap().not_after;
    assert_eq!(not_after, NOON + (50 + 90) * 24 * HOUR);
    assert_eq!(server.cms.store.host(agent.id).await.unwrap().unwrap().certificate_not_after, not_after);
    agent.response.certificate_chain = renewed.certificate_chain;
    agent.key_pem = key.key_pem().to_owned();
    agent.connect(&server).await;
    let malformed = v1::RenewRequest { certificate_request: Bytes::from_static(b"no request") };
    assert_eq!(agent.client(&server).await.renew(malformed).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn another_protocol_is_refused_with_what_to_do() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let status = agent.connect_with(&server, v1::Hello { protocol: 2, ..agent.hello() }).await.err().unwrap();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("update"), "{status}");
}

#[tokio::test]
async fn a_connection_that_speaks_no_tls_is_dropped_and_others_are_served() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    let mut rude = tokio::net::TcpStream::connect(server.address).await.unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end of the connection", rude.read_to_end(&mut answer)).await;
    assert!(answer.len() < 64, "an alert at most");
    agent.connect(&server).await;
    assert!(server.tally.handshakes_failed() > 0);
}

#[tokio::test]
async fn when_every_place_is_taken_newcomers_are_turned_away_and_hosts_stay() {
    let server = TestServer::start_with(Settings { connections_max: 2, ..Settings::default() }).await;
    let (one, two) = (server.enroll("web-1").await, server.enroll("web-2").await);
    // The connections that enrolled them may take a moment to be gone.
    let mut held = Vec::new();
    for agent in [&one, &two] {
        held.push(until("a place", || async { channel(server.address, agent.tls()).await.ok() }).await);
    }
    assert!(channel(server.address, one.tls()).await.is_err());
    assert!(server.tally.connections_refused() > 0);
    for (agent, channel) in [&one, &two].into_iter().zip(held) {
        TestStream::open(&mut UplinkClient::new(channel), hello(agent)).await.unwrap_or_else(|status| panic!("{status}"));
    }
}
