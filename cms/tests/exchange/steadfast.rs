//! Whoever leaves in the middle of something, or opens doors and does nothing, costs others nothing.

use std::time::Duration;

use bytes::Bytes;
use doorward_cms::store::FileDecision;
use doorward_cms::uplink::Settings;
use doorward_policy::{Decision, Mode};
use doorward_proto::snapshot::Position;
use doorward_proto::tls::pinned_client_config;
use doorward_proto::uplink::{AgentMessage, CAPABILITY_PROTECT, CmsMessage, SettingsState};
use doorward_proto::v1;
use futures::FutureExt as _;
use sqlx::Connection as _;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};

use crate::story::{Found, NOON, file};
use crate::support::agent::{channel, now};
use crate::support::raw::RawCodec;
use crate::support::{TestServer, soon, until};

#[tokio::test]
async fn a_decision_whose_caller_left_is_in_force_and_told() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    let mut policy = stream.snapshot(&agent, Position::default()).await;
    for round in 0..20 {
        let content = format!("number {round}");
        let decision =
            FileDecision { file: file(&content), owner: server.cms.profile, decision: Decision::Denied, comment: Some("gone".into()) };
        // The caller is polled once and hangs up.
        assert!(server.cms.allowlist.decide_file(&decision, "ada").now_or_never().is_none());
        while policy.lookup_file(&decision.file).denied_by_person.is_none() {
            let delta = stream.hear(|message| if let CmsMessage::PolicyDelta(delta) = message { Some(delta) } else { None }).await;
            policy = policy.apply_delta(&delta, &agent.verifier()).unwrap();
        }
    }
}

#[tokio::test]
async fn reports_whose_stream_left_wake_the_look_ups_all_the_same() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let body = doorward_proto::report::ReportBody::Observation(Found::new("/opt/tool", "tool").executed().0);
    let reports = [doorward_proto::report::Report { sequence: 1, body }];
    assert!(server.cms.allowlist.ingest(agent.id, [9; 16], &reports).now_or_never().is_none());
    soon("the wake-up", server.cms.signals.lookups()).await;
    assert_eq!(server.cms.store.watermark(agent.id, &[9; 16]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_host_that_leaves_during_its_welcome_is_away() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    // Somebody else, as a backup, holds the database: the welcome has to wait.
    let path = format!("sqlite://{}", server.cms.dir.path().join("cms.sqlite").display());
    let mut other = sqlx::SqliteConnection::connect(&path).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut client = agent.client(&server).await;
    let hello = v1::AgentMessage { body: Some(v1::agent_message::Body::Hello(agent.hello())) };
    // What the client would say next; it is gone when this is, which a stream without an end would never show.
    let (leaving, rest) = tokio::sync::mpsc::channel(1);
    tokio::select! {
        _ = client.connect(tokio_stream::iter([hello]).chain(tokio_stream::wrappers::ReceiverStream::new(rest))) => {}
        () = until("the place to be taken", || async { server.sessions.is_connected(&agent.id).then_some(()) }) => {}
    }
    drop((client, leaving));
    tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await.unwrap_err();
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    until("the host to have come and gone", || async {
        let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
        (host.last_seen_at.is_some() && !host.connected && server.sessions.connected() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_host_cannot_take_the_places_of_others() {
    let server = TestServer::start_with(Settings { connections_max: 12, ..Settings::default() }).await;
    let (greedy, other) = (server.enroll("greedy").await, server.enroll("other").await);
    let mut held = Vec::new();
    for _ in 0..20 {
        // Refused after the handshake, which the client may or may not notice.
        held.push(channel(server.address, greedy.tls()).await);
    }
    until("the refusals", || async { (server.tally.connections_refused() > 0).then_some(()) }).await;
    other.connect(&server).await;
}

#[tokio::test]
async fn whoever_shows_no_certificate_is_refused_before_it_has_said_anything() {
    let server = TestServer::start().await;
    let stranger = channel(server.address, pinned_client_config(server.keys.ca_key_hash(), now())).await.unwrap();
    let mut client = tonic::client::Grpc::new(stranger);
    client.ready().await.unwrap();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/doorward.v1.Uplink/Renew");
    // A message that never ends: only a server that does not read it can answer.
    let endless = Request::new(tokio_stream::pending::<Bytes>());
    let status = soon("the refusal", client.streaming(endless, path, RawCodec)).await.err().unwrap();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_stream_after_the_hello_too() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let hello = prost_bytes(&agent.hello());
    for noise in [&[0xff; 40][..], &[0x0a, 0x7f, 0x01], &[0x12, 0x05, 0x0a, 0x03, 0xff, 0xff, 0xff]] {
        let before = server.tally.malformed();
        let mut client = tonic::client::Grpc::new(channel(server.address, agent.tls()).await.unwrap());
        client.ready().await.unwrap();
        let said = Request::new(tokio_stream::iter([hello.clone(), Bytes::copy_from_slice(noise)]).chain(tokio_stream::pending()));
        let path = tonic::codegen::http::uri::PathAndQuery::from_static("/doorward.v1.Uplink/Connect");
        let mut heard = soon("the stream", client.streaming(said, path, RawCodec)).await.unwrap().into_inner();
        let status = loop {
            match soon("the refusal", heard.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{noise:?}: the stream ended as if all had been well"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{noise:?}: {status}");
        until("the fault to be counted", || async { (server.tally.malformed() == before + 1).then_some(()) }).await;
    }
}

#[tokio::test]
async fn a_mode_the_agent_cannot_carry_out_is_not_shown_as_in_force() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let effect = server.cms.store.set_host_mode(agent.id, Some(Mode::Protect), "ada", NOON).await.unwrap();
    server.cms.signals.tell(&effect);
    let host = async || server.cms.store.host(agent.id).await.unwrap().unwrap();
    assert_eq!((host().await.mode, host().await.mode_in_force), (Mode::Protect, None), "nothing is known yet");
    for (words, in_force) in [(vec!["detect", "scan"], Mode::Detect), (vec!["detect", CAPABILITY_PROTECT], Mode::Protect)] {
        let hello = v1::Hello { capabilities: words.into_iter().map(str::to_owned).collect(), ..agent.hello() };
        let mut stream = agent.connect_with(&server, hello).await.unwrap();
        let revision = stream.settings().await.revision;
        stream.send(AgentMessage::SettingsState(SettingsState { revision, refused: None })).await;
        until("the mode in force", || async { (host().await.mode_in_force == Some(in_force)).then_some(()) }).await;
        assert_eq!(host().await.mode, Mode::Protect, "what is wanted stays");
    }
}

/// The hello as the first message of a stream.
fn prost_bytes(hello: &v1::Hello) -> Bytes {
    use prost::Message as _;
    v1::AgentMessage { body: Some(v1::agent_message::Body::Hello(hello.clone())) }.encode_to_vec().into()
}
