//! Reports in, acknowledgements and verdicts out; commands there and back.

use doorward_cms::incident::Kind;
use doorward_cms::uplink::Settings;
use doorward_policy::{Decision, ScanId, Status};
use doorward_proto::report::{Health, Report, ReportBody};
use doorward_proto::uplink::{AgentMessage, CmsMessage, CommandBody, CommandResult, ScanProgress, ScanState, VerdictDecision};
use tonic::Code;

use crate::story::{self, Found, HOUR, NOON, file, malicious};
use crate::support::agent::TestAgent;
use crate::support::{TestServer, until};

fn executed(sequence: u64, content: &str) -> Report {
    Report { sequence, body: ReportBody::Observation(Found::new(&format!("/opt/{content}"), content).executed().0) }
}

#[tokio::test]
async fn what_is_acknowledged_is_kept_and_a_reconnect_goes_on_from_there() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    stream.report([executed(1, "tool"), executed(4, "other")]).await;
    assert_eq!(stream.acknowledged().await, 4);
    assert_eq!(server.cms.store.watermark(agent.id, &agent.store_epoch).await.unwrap(), 4);
    drop(stream);

    let mut stream = agent.connect(&server).await;
    assert_eq!(stream.welcome().acknowledged, 4);
    stream.report([executed(4, "other"), executed(5, "third")]).await;
    assert_eq!(stream.acknowledged().await, 5);
    assert_eq!(server.cms.listing().await.len(), 3, "a repeat is no second file");
    assert_eq!(server.cms.detail("other").await.observations[0].count, 1, "and no second observation");

    let fresh = TestAgent { store_epoch: [8; 16], ..agent.run(2) };
    assert_eq!(fresh.connect(&server).await.welcome().acknowledged, 0, "a lost store begins anew");
}

#[tokio::test]
async fn a_restart_of_the_cms_forgets_nothing_it_acknowledged() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    stream.report([executed(7, "tool")]).await;
    assert_eq!(stream.acknowledged().await, 7);
    let server = server.restarted().await;
    assert_eq!(stream.end().await.code(), Code::Unavailable, "come back, it says");
    assert_eq!(agent.connect(&server).await.welcome().acknowledged, 7);
}

#[tokio::test]
async fn a_host_that_waits_is_told_when_the_answer_comes() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    stream.report([executed(1, "tool")]).await;
    stream.acknowledged().await;
    server.cms.ti_says("tool", malicious(5, "Linux.Ransomware.Tool")).await;
    let [verdict] = &stream.verdicts().await[..] else { panic!("one verdict") };
    assert_eq!((verdict.file, verdict.status, verdict.threat_score), (file("tool"), Status::Threat, Some(10)));
    assert_eq!((verdict.is_final, verdict.decision), (true, VerdictDecision::Deny));
}

#[tokio::test]
async fn what_is_known_already_is_told_at_once() {
    let server = TestServer::start().await;
    let (first, second) = (server.enroll("web-1").await, server.enroll("web-2").await);
    let mut stream = first.connect(&server).await;
    stream.report([executed(1, "tool")]).await;
    stream.acknowledged().await;
    server.cms.ti_says("tool", story::known(1)).await;
    stream.verdicts().await;

    let mut stream = second.connect(&server).await;
    stream.report([executed(1, "tool"), executed(2, "never seen")]).await;
    let verdicts = stream.verdicts().await;
    assert_eq!(verdicts.iter().map(|verdict| verdict.file).collect::<Vec<_>>(), [file("tool")], "nothing on what is still pending");
}

#[tokio::test]
async fn a_host_that_was_away_hears_what_it_missed() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    stream.report([executed(1, "tool")]).await;
    stream.acknowledged().await;
    drop(stream);
    server.cms.ti_says("tool", malicious(3, "Linux.Trojan.Tool")).await;
    assert_eq!(agent.connect(&server).await.verdicts().await[0].file, file("tool"));
}

#[tokio::test]
async fn verdicts_go_to_hosts_that_met_the_file_and_no_other() {
    let server = TestServer::start().await;
    let (met, other) = (server.enroll("web-1").await, server.enroll("web-2").await);
    let (mut met_stream, mut other_stream) = (met.connect(&server).await, other.connect(&server).await);
    met_stream.report([executed(1, "tool")]).await;
    other_stream.report([executed(1, "mine")]).await;
    met_stream.acknowledged().await;
    other_stream.acknowledged().await;
    server.cms.ti_says_all(&[("tool", story::known(4)), ("mine", story::known(4))]).await;
    let verdicts = other_stream.verdicts().await;
    assert_eq!(verdicts.iter().map(|verdict| verdict.file).collect::<Vec<_>>(), [file("mine")]);
}

#[tokio::test]
async fn a_persons_deny_reaches_the_host_as_a_policy() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    let policy = stream.snapshot(&agent, Default::default()).await;
    stream.report([executed(1, "tool")]).await;
    stream.acknowledged().await;
    server.cms.decide("tool", Decision::Denied).await;
    let delta = stream.hear(|message| if let CmsMessage::PolicyDelta(delta) = message { Some(delta) } else { None }).await;
    let policy = policy.apply_delta(&delta, &agent.verifier()).unwrap();
    assert!(policy.lookup_file(&file("tool")).denied_by_person.is_some());
}

#[tokio::test]
async fn a_command_is_sent_until_it_is_answered() {
    let server = TestServer::start().await;
    let agent = server.enroll("web-1").await;
    let mut stream = agent.connect(&server).await;
    let (scan, effect) = server.cms.store.request_scan(server.cms.profile, agent.id, "ada", NOON).await.unwrap();
    server.cms.signals.tell(&effect);
    let command = |message| if let CmsMessage::Command(command) = message { Some(command) } else { None };
    let first = stream.hear(command).await;
    let CommandBody::StartScan(start) = &first.body else { panic!("{first:?}") };
    assert_eq!(start.scan, scan.id);
    drop(stream);

    let mut stream = agent.connect(&server).await;
    assert_eq!(stream.hear(command).await, first, "sent again after a reconnect");
    stream.send(AgentMessage::CommandResult(CommandResult { id: first.id, error: None })).await;
    let progress = |state| progress(scan.id, state);
    stream.send(AgentMessage::ScanProgress(progress(ScanState::Running))).await;
    stream.send(AgentMessage::ScanProgress(progress(ScanState::Done))).await;
    until("the scan's end", || async {
        let view = server.cms.store.scan(scan.id).await.unwrap().unwrap();
        (view.progress == Some(progress(ScanState::Done))).then_some(())
    })
    .await;
    assert_eq!(server.cms.store.commands_due(agent.id, 10).await.unwrap(), []);
}

#[tokio::test]
async fn nobody_answers_for_another_host() {
    let server = TestServer::start().await;
    let (owner, other) = (server.enroll("web-1").await, server.enroll("web-2").await);
    let (scan, _) = server.cms.store.request_scan(server.cms.profile, owner.id, "ada", NOON).await.unwrap();
    let command = server.cms.store.commands_due(owner.id, 1).await.unwrap().remove(0);
    let mut stream = other.connect(&server).await;
    stream.send(AgentMessage::CommandResult(CommandResult { id: command.id, error: Some("no".into()) })).await;
    stream.send(AgentMessage::ScanProgress(progress(scan.id, ScanState::Done))).await;
    // Messages are taken in order, so an acknowledgement says that those before it were.
    stream.report([executed(1, "tool")]).await;
    stream.acknowledged().await;
    assert_eq!(server.cms.store.commands_due(owner.id, 1).await.unwrap(), [command]);
    assert_eq!(server.cms.store.scan(scan.id).await.unwrap().unwrap().progress, None);
}

fn progress(scan: ScanId, state: ScanState) -> ScanProgress {
    ScanProgress {
        scan,
        files: 10,
        files_total: 10,
        candidates: 3,
        bytes: 4096,
        package_trusted: 2,
        otherwise_trusted: 0,
        unresolved: 1,
        skipped: 0,
        elapsed_ms: 7,
        state,
    }
}

#[tokio::test]
async fn a_host_that_fell_silent_is_an_incident_until_it_comes_back() {
    let server = TestServer::start_with(Settings { silent_after_s: 1, ..Settings::default() }).await;
    let agent = server.enroll("web-1").await;
    drop(agent.connect(&server).await);
    until("the host to be gone", || async { (server.sessions.connected() == 0).then_some(()) }).await;
    server.cms.clock.advance(HOUR);
    let silent = || async { server.cms.open_incidents().await.into_iter().find(|incident| incident.kind == Kind::AgentSilent) };
    let incident = until("the incident", silent).await;
    assert_eq!(incident.host_id, Some(agent.id));
    let stream = agent.connect(&server).await;
    assert!(silent().await.is_none(), "it is back");
    let health = Health { pending: 3, dropped: 1, failures: Vec::new() };
    stream.send(AgentMessage::Heartbeat(health.clone())).await;
    server.cms.clock.advance(HOUR);
    until("the heartbeat on disk", || async {
        let host = server.cms.store.host(agent.id).await.unwrap().unwrap();
        (host.last_seen_at == Some(server.cms.now()) && host.health.as_ref() == Some(&health)).then_some(())
    })
    .await;
}

/// More than the server writes for at once.
const DEAF_HOSTS: u64 = 9;

#[tokio::test]
async fn hosts_that_do_not_listen_hold_up_nobody_else() {
    const FILES: u64 = 128;
    const ROUNDS: u64 = 24;
    let server = TestServer::start().await;
    let known: Vec<String> = (0..FILES).map(|number| format!("tool-{number}")).collect();
    let reporter = server.cms.host("reporter").await;
    reporter.finds(known.iter().map(|content| Found::new(&format!("/opt/{content}"), content))).await;
    let threat = malicious(1, &"x".repeat(255));
    let answers: Vec<_> = known.iter().map(|content| (content.as_str(), threat.clone())).collect();
    server.cms.ti_says_all(&answers).await;
    let mut deaf = Vec::new();
    for number in 0..DEAF_HOSTS {
        let agent = server.enroll(&format!("deaf-{number}")).await;
        let stream = agent.connect_deaf(&server).await;
        // Each batch is answered with 40 KiB of verdicts, which the host does not take.
        for round in 0..ROUNDS {
            stream.report((0..FILES).map(|file| executed(1 + round * FILES + file, &known[file as usize]))).await;
        }
        deaf.push((agent, stream));
    }
    let mut stream = server.enroll("web-1").await.connect(&server).await;
    stream.report([executed(1, "mine")]).await;
    stream.acknowledged().await;
    server.cms.ti_says("mine", malicious(1, "Linux.Adware.Mine")).await;
    assert_eq!(stream.verdicts().await[0].file, file("mine"));
    // Their queues fill sooner or later; then only they stand still.
    for (agent, _) in &deaf {
        let watermark = || server.cms.store.watermark(agent.id, &agent.store_epoch);
        until("a host to be stuck", || async {
            let before = watermark().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            (before >= FILES && watermark().await.unwrap() == before).then_some(())
        })
        .await;
        assert!(watermark().await.unwrap() < ROUNDS * FILES, "it could be served to the end");
    }
    stream.report([executed(2, "another")]).await;
    assert_eq!(stream.acknowledged().await, 2);
    assert_eq!(server.tally.slow(), 0, "nobody had to be cut off for it");
}
