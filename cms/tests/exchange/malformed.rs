//! Messages no honest host sends. Each ends the stream with INVALID_ARGUMENT, is counted, and leaves nothing in the database.

use bytes::Bytes;
use doorward_proto::limit::{BATCH_BYTES_MAX, BATCH_REPORTS_MAX, MESSAGE_BYTES_MAX};
use doorward_proto::report::{Report, ReportBody};
use doorward_proto::v1;
use doorward_proto::v1::agent_message::Body;
use tonic::{Code, Request};

use crate::story::Found;
use crate::support::agent::{TestAgent, TestStream, channel};
use crate::support::raw::RawCodec;
use crate::support::{TestServer, soon};

fn report(sequence: u64) -> v1::Report {
    Report { sequence, body: ReportBody::Observation(Found::new("/opt/tool", "tool").executed().0) }.into()
}

fn reports(reports: Vec<v1::Report>) -> v1::AgentMessage {
    v1::AgentMessage { body: Some(Body::Reports(v1::ReportBatch { reports })) }
}

/// A good report, spoilt.
fn spoilt(spoil: impl Fn(&mut v1::Observation)) -> v1::AgentMessage {
    let mut report = report(2);
    let Some(v1::report::Body::Observation(observation)) = &mut report.body else { unreachable!() };
    spoil(observation);
    reports(vec![self::report(1), report])
}

async fn assert_refused(server: &TestServer, agent: &TestAgent, what: &str, message: v1::AgentMessage) {
    let before = server.tally.malformed();
    let mut stream = agent.connect(server).await;
    stream.send_raw(message).await;
    let status = stream.end().await;
    assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
    assert_eq!(server.cms.listing().await.len(), 0, "{what}");
    assert_eq!(server.cms.store.watermark(agent.id, &agent.store_epoch).await.unwrap(), 0, "{what}");
    assert_eq!(server.tally.malformed(), before + 1, "{what}");
}

#[tokio::test]
async fn a_message_with_one_fault_is_refused_whole() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let rows = [
        ("no body", v1::AgentMessage { body: None }),
        ("a second hello", v1::AgentMessage { body: Some(Body::Hello(agent.hello())) }),
        ("a short digest", spoilt(|observation| observation.file.as_mut().unwrap().sha256 = Bytes::from_static(&[1; 31]))),
        ("no file", spoilt(|observation| observation.file = None)),
        ("a long path", spoilt(|observation| observation.path = Bytes::from(vec![b'a'; 4096]))),
        ("an unknown use", spoilt(|observation| observation.r#use = 99)),
        ("an unspecified kind", spoilt(|observation| observation.file.as_mut().unwrap().kind = 0)),
        ("a scan id of 3 bytes", spoilt(|observation| observation.scan_id = Bytes::from_static(&[1; 3]))),
        ("sequence 0", reports(vec![report(0)])),
        ("sequences that fall", reports(vec![report(2), report(1)])),
        ("sequences that stand", reports(vec![report(2), report(2)])),
        ("too many reports", reports((1..=BATCH_REPORTS_MAX as u64 + 1).map(report).collect())),
        ("an oversized batch", oversized_batch()),
        ("a long reason", v1::AgentMessage { body: Some(Body::SnapshotRequest(v1::SnapshotRequest { reason: "x".repeat(256) })) }),
        ("a command nobody has", v1::AgentMessage { body: Some(Body::CommandResult(v1::CommandResult::default())) }),
    ];
    for (what, message) in rows {
        assert_refused(&server, &agent, what, message).await;
    }
}

fn oversized_batch() -> v1::AgentMessage {
    let turned =
        v1::Turned { sha256: Bytes::from_static(&[1; 32]), paths: vec![Bytes::from(vec![b'a'; 4095]); 64], ..v1::Turned::default() };
    let report = |sequence| v1::Report { sequence, body: Some(v1::report::Body::Turned(turned.clone())) };
    let count = (BATCH_BYTES_MAX / (64 * 4095)) as u64 + 2;
    reports((1..=count).map(report).collect())
}

#[tokio::test]
async fn a_message_over_the_transports_limit_is_refused_unread() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let huge = v1::SnapshotRequest { reason: "x".repeat(MESSAGE_BYTES_MAX) };
    assert_refused(&server, &agent, "over the transport's limit", v1::AgentMessage { body: Some(Body::SnapshotRequest(huge)) }).await;
}

#[tokio::test]
async fn a_stream_begins_with_a_hello_or_not_at_all() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let hello = |spoil: fn(&mut v1::Hello)| {
        let mut hello = agent.hello();
        spoil(&mut hello);
        v1::AgentMessage { body: Some(Body::Hello(hello)) }
    };
    let rows = [
        ("reports first", reports(vec![report(1)])),
        ("no store epoch", hello(|hello| hello.store_epoch = Bytes::new())),
        ("no run id", hello(|hello| hello.run_id = Bytes::new())),
        ("no facts", hello(|hello| hello.facts = None)),
        ("a long version", hello(|hello| hello.agent_version = "1".repeat(65))),
        ("too many capabilities", hello(|hello| hello.capabilities = vec!["x".into(); 65])),
    ];
    for (what, message) in rows {
        let status = TestStream::open(&mut agent.client(&server).await, [message]).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
    }
    assert_eq!((server.tally.refused(), server.tally.sessions(), server.sessions.connected()), (6, 0, 0));
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_stream() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut client = tonic::client::Grpc::new(channel(server.address, agent.tls()).await.unwrap());
    client.ready().await.unwrap();
    let noise = Request::new(tokio_stream::iter([Bytes::from_static(&[0xff; 40])]));
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/doorward.v1.Uplink/Connect");
    let status = soon("the refusal", client.streaming(noise, path, RawCodec)).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    agent.connect(&server).await;
}
