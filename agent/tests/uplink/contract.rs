//! A server that breaks the contract is left, counted, and tried again; the host loses nothing over it and never panics.

use doorward_agent::health::FailureReason;
use doorward_agent::uplink::Phase;
use doorward_proto::limit::MESSAGE_BYTES_MAX;
use doorward_proto::uplink::{CmsMessage, Welcome};
use doorward_proto::v1;
use doorward_proto::v1::cms_message::Body;

use crate::cms::TestCms;
use crate::host::{TestHost, numbers};

fn message(body: Body) -> v1::CmsMessage {
    v1::CmsMessage { body: Some(body) }
}

fn verdicts(count: usize, name_bytes: usize) -> v1::CmsMessage {
    let verdict = v1::Verdict {
        sha256: vec![1; 32].into(),
        status: v1::Status::Threat.into(),
        reason: "malicious".into(),
        decision: 0,
        threat_score: Some(10),
        threat_name: "x".repeat(name_bytes),
        r#final: true,
        change_id: 1,
    };
    message(Body::Verdicts(v1::VerdictBatch { verdicts: vec![verdict; count] }))
}

#[tokio::test]
async fn every_malformed_message_ends_the_stream_and_nothing_else() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..3).await;
    let welcome = v1::Welcome { protocol: 1, cms_version: String::new(), acknowledged: 0, window: 9, now: 0 };
    let cases = [
        ("nothing", v1::CmsMessage { body: None }),
        ("a second welcome", message(Body::Welcome(welcome))),
        ("a verdict without a file", message(Body::Verdicts(v1::VerdictBatch { verdicts: vec![v1::Verdict::default()] }))),
        ("too many verdicts", verdicts(513, 1)),
        ("too long a name", verdicts(1, 256)),
        ("more than a message may have", verdicts(1, MESSAGE_BYTES_MAX + 1)),
        ("an acknowledgement of nothing", message(Body::Acknowledge(v1::Acknowledge { sequence: u64::MAX }))),
    ];
    for (before, (what, malformed)) in (0_u64..).zip(cases) {
        let mut link = cms.welcomed(0).await;
        assert_eq!(numbers(&link.reports(3).await), [0, 1, 2], "before {what}");
        link.say_raw(malformed).await;
        link.left().await;
        crate::cms::until(what, || host.health.count(FailureReason::UplinkMalformed) == before + 1).await;
        assert_eq!(host.unacknowledged().await, [0, 1, 2], "after {what}");
    }
    let mut link = cms.welcomed(0).await;
    let sent = link.reports(3).await;
    link.say(CmsMessage::Acknowledge(sent[2].sequence)).await;
    host.empty().await;
}

#[tokio::test]
async fn a_stream_begins_with_a_welcome_that_grants_something() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.link().await;
    link.hello().await;
    link.say(CmsMessage::Acknowledge(0)).await;
    link.left().await;
    let mut link = cms.link().await;
    link.hello().await;
    link.welcome(0, 0).await;
    link.left().await;
    crate::cms::until("two broken contracts", || host.health.count(FailureReason::UplinkMalformed) == 2).await;
}

#[tokio::test]
async fn a_server_of_another_protocol_is_told_to_a_person() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.link().await;
    assert_eq!(link.hello().await.protocol, 1);
    let welcome = Welcome { protocol: 2, cms_version: "9".into(), acknowledged: 0, window: 1, now: 0 };
    link.say(CmsMessage::Welcome(welcome)).await;
    host.phase(Phase::Refused).await;
    assert!(host.uplink.state().borrow().last_error.as_ref().unwrap().contains("upgrade"));
}
