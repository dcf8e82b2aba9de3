//! A server whose database was restored from an older copy: its hosts are ahead of it, never go back, and follow it again all the same.

use doorward_cms::incident::{Detail, Kind};
use doorward_cms::store::{IncidentFilter, PageRequest};
use doorward_policy::Decision;
use doorward_proto::snapshot::Position;
use doorward_proto::v1;

use crate::story::{Found, NOON, file};
use crate::support::agent::{TestAgent, TestStream};
use crate::support::{TestServer, until};

async fn position(server: &TestServer) -> Position {
    server.cms.allowlist.policies().current(server.cms.profile).await.unwrap().head().position()
}

/// Says hello with a policy and settings.
async fn with(server: &TestServer, agent: &TestAgent, policy: Position, settings_revision: u64) -> TestStream {
    let hello = v1::Hello { policy_epoch: policy.epoch, policy_revision: policy.revision, settings_revision, ..agent.hello() };
    agent.connect_with(server, hello).await.unwrap()
}

/// What the incident says once it happened that often.
async fn told(server: &TestServer, count: u64) -> Detail {
    until("the incident", || async {
        let open = IncidentFilter { open: Some(true), file: None };
        let incidents = server.cms.store.incidents(&open, &PageRequest::default()).await.unwrap().items;
        incidents.into_iter().find(|incident| incident.kind == Kind::PolicyAhead && incident.count == count).map(|incident| incident.detail)
    })
    .await
}

#[tokio::test]
async fn a_host_that_is_ahead_gets_policy_and_settings_above_its_own() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    server.cms.host("reporter").await.finds([Found::new("/opt/a", "a")]).await;
    let Position { epoch, revision } = position(&server).await;
    let ahead = Position { epoch, revision: revision + 100 };
    let mut stream = with(&server, &agent, ahead, 900).await;
    assert_eq!(stream.settings().await.revision, 901);
    let policy = stream.snapshot(&agent, ahead).await;
    assert!(policy.head().position() > ahead, "a host takes nothing else");
    server.cms.decide("a", Decision::Denied).await;
    let step = stream
        .hear(|message| match message {
            doorward_proto::uplink::CmsMessage::PolicyDelta(delta) => Some(delta),
            _ => None,
        })
        .await;
    let policy = policy.apply_delta(&step, &agent.verifier()).unwrap();
    assert!(policy.lookup_file(&file("a")).denied_by_person.is_some(), "a new deny reaches it");
    let incident = server.cms.open_incident(Kind::PolicyAhead).await;
    assert_eq!(incident.host_id, Some(agent.id));
    assert_eq!(
        incident.detail,
        Detail::Ahead { has_epoch: epoch, has_revision: revision + 100, epoch, revision, begun: true },
        "a person can see what happened"
    );
}

#[tokio::test]
async fn others_follow_the_same_new_epoch() {
    let server = TestServer::start().await;
    let (one, other) = (server.enroll("web-1").await, server.enroll("web-2").await);
    let Position { epoch, revision } = position(&server).await;
    let far = Position { epoch, revision: revision + 100 };
    let begun = with(&server, &one, far, 1).await.snapshot(&one, far).await.head().position();
    let farther = Position { epoch, revision: revision + 200 };
    assert_eq!(with(&server, &other, farther, 1).await.snapshot(&other, farther).await.head().position(), begun);
}

#[tokio::test]
async fn a_host_that_says_so_again_and_again_moves_nobody() {
    let server = TestServer::start().await;
    let agent = server.enroll("liar").await;
    let Position { epoch, revision } = position(&server).await;
    let far = Position { epoch, revision: revision + 100 };
    let begun = with(&server, &agent, far, 1).await.snapshot(&agent, far).await.head().position();
    let lies = [Position { epoch: begun.epoch, revision: begun.revision + 1 }, Position { epoch: u64::MAX, revision: 1 }];
    for (count, lie) in (2..).zip(lies) {
        let _stream = with(&server, &agent, lie, 1).await;
        assert!(matches!(told(&server, count).await, Detail::Ahead { begun: false, .. }), "{lie}");
        assert_eq!(position(&server).await, begun, "{lie}");
    }
}

#[tokio::test]
async fn an_epoch_no_clock_has_reached_is_not_believed() {
    let server = TestServer::start().await;
    let agent = server.enroll("liar").await;
    let before = position(&server).await;
    let tomorrow = u64::try_from(NOON).unwrap() + 2 * 24 * 3600 * 1_000_000;
    for (count, epoch) in (1..).zip([tomorrow, u64::MAX]) {
        let _stream = with(&server, &agent, Position { epoch, revision: 1 }, u64::MAX).await;
        assert!(matches!(told(&server, count).await, Detail::Ahead { begun: false, .. }), "{epoch}");
        assert_eq!(position(&server).await, before);
    }
}
