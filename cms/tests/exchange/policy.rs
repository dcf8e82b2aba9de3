//! Policies and settings on their way to a host: whole or by steps, believed only with the policy key's signature.

use doorward_policy::{Decision, Mode};
use doorward_proto::snapshot::Position;
use doorward_proto::uplink::{AgentMessage, CmsMessage, PolicyState, SettingsState};
use doorward_proto::v1;
use tonic::Code;

use crate::story::{Found, NOON, file};
use crate::support::agent::{TestAgent, TestStream};
use crate::support::{TestServer, until};

/// A server whose profile has seen some decisions, and a host.
async fn server_with_decisions() -> (TestServer, TestAgent) {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let reporter = server.cms.host("reporter").await;
    let contents = ["a", "b", "c"];
    reporter.finds(contents.map(|content| Found::new(&format!("/opt/{content}"), content))).await;
    for content in contents {
        server.cms.decide(content, Decision::Denied).await;
    }
    (server, agent)
}

async fn position(server: &TestServer) -> Position {
    server.cms.allowlist.policies().current(server.cms.profile).await.unwrap().head().position()
}

fn delta(message: CmsMessage) -> Option<doorward_proto::snapshot::Delta> {
    match message {
        CmsMessage::PolicyDelta(delta) => Some(delta),
        CmsMessage::PolicySnapshot(_) => panic!("a step would have done"),
        _ => None,
    }
}

#[tokio::test]
async fn a_new_host_gets_the_whole_policy_and_can_believe_it() {
    let (server, agent) = server_with_decisions().await;
    let policy = agent.connect(&server).await.snapshot(&agent, Position::default()).await;
    assert_eq!(policy.head().position(), position(&server).await);
    assert!(["a", "b", "c"].iter().all(|content| policy.lookup_file(&file(content)).denied_by_person.is_some()));
}

#[tokio::test]
async fn a_host_with_an_older_policy_gets_the_step() {
    let (server, agent) = server_with_decisions().await;
    let old = agent.connect(&server).await.snapshot(&agent, Position::default()).await;
    server.cms.decide("a", Decision::Undecided).await;
    let Position { epoch, revision } = old.head().position();
    let hello = v1::Hello { policy_epoch: epoch, policy_revision: revision, ..agent.hello() };
    let mut stream = agent.connect_with(&server, hello).await.unwrap();
    let new = old.apply_delta(&stream.hear(delta).await, &agent.verifier()).unwrap();
    assert_eq!(new.head().position(), position(&server).await);
    assert!(new.lookup_file(&file("a")).denied_by_person.is_none());
}

#[tokio::test]
async fn steps_follow_each_other_on_one_stream() {
    let (server, agent) = server_with_decisions().await;
    let mut stream = agent.connect(&server).await;
    let mut policy = stream.snapshot(&agent, Position::default()).await;
    for round in 0..5 {
        let decision = if round % 2 == 0 { Decision::Allowed } else { Decision::Denied };
        server.cms.decide("b", decision).await;
        policy = policy.apply_delta(&stream.hear(delta).await, &agent.verifier()).unwrap();
        assert_eq!(policy.lookup_file(&file("b")).allowed_by_person.is_some(), decision == Decision::Allowed);
    }
}

/// Says hello with the newest policy and settings in force, so that nothing is sent until something happens.
async fn up_to_date(server: &TestServer, agent: &TestAgent) -> TestStream {
    let Position { epoch, revision } = position(server).await;
    let settings_revision = server.cms.store.host_settings(agent.id).await.unwrap().unwrap().revision;
    let hello = v1::Hello { policy_epoch: epoch, policy_revision: revision, settings_revision, ..agent.hello() };
    agent.connect_with(server, hello).await.unwrap()
}

#[tokio::test]
async fn a_host_that_is_up_to_date_gets_nothing() {
    let (server, agent) = server_with_decisions().await;
    let mut stream = up_to_date(&server, &agent).await;
    stream.close();
    assert_eq!(stream.end().await.code(), Code::Ok, "no message came before the end");
}

#[tokio::test]
async fn a_host_that_cannot_use_its_policy_gets_it_whole() {
    let (server, agent) = server_with_decisions().await;
    let mut stream = up_to_date(&server, &agent).await;
    stream.send(AgentMessage::SnapshotRequest("the file was damaged".into())).await;
    let policy = stream.snapshot(&agent, Position::default()).await;
    let Position { epoch, revision } = policy.head().position();
    let refused = Some("wrong root".to_owned());
    stream.send(AgentMessage::PolicyState(PolicyState { epoch, revision, refused })).await;
    stream.snapshot(&agent, Position::default()).await;
    let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
    assert_eq!(host.policy_in_force.refused.as_deref(), Some("wrong root"), "people can see it");
    stream.send(AgentMessage::PolicyState(PolicyState { epoch, revision, refused: None })).await;
    until("the policy in force", || async {
        let in_force = server.cms.store.host(agent.id).await.unwrap().unwrap().policy_in_force;
        (in_force.refused.is_none() && (in_force.epoch, in_force.revision) == (epoch, revision)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_asks_for_it_without_end_has_to_come_back_later() {
    let (server, agent) = server_with_decisions().await;
    let mut stream = up_to_date(&server, &agent).await;
    let status = loop {
        stream.send(AgentMessage::SnapshotRequest("again".into())).await;
        let end = stream.next().await;
        if let Err(status) = end {
            break status;
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_new_mode_reaches_the_host_and_its_answer_is_kept() {
    let (server, agent) = server_with_decisions().await;
    let mut stream = up_to_date(&server, &agent).await;
    let effect = server.cms.store.set_host_mode(agent.id, Some(Mode::Protect), "ada", NOON).await.unwrap();
    server.cms.signals.tell(&effect);
    let settings = stream.settings().await;
    assert_eq!(settings.mode, Mode::Protect);
    stream.send(AgentMessage::SettingsState(SettingsState { revision: settings.revision, refused: None })).await;
    until("the settings in force", || async {
        let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
        (host.settings_in_force.revision == settings.revision).then_some(())
    })
    .await;
}
