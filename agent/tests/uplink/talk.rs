//! Verdicts, commands, scans and heartbeats.

use std::time::Duration;

use doorward_agent::health::FailureReason;
use doorward_policy::{Evidence, Row, ScanId, Status, judge};
use doorward_proto::uplink::{
    AgentMessage, CmsMessage, Command, CommandBody, CommandResult, ScanProgress, ScanState, StartScan, Verdict, VerdictDecision,
};
use uuid::Uuid;

use crate::cms::{TestCms, soon};
use crate::host::{QUICK, TestHost, WAITING_MAX, file};

fn verdict(number: u32, status: Status, reason: &str, decision: VerdictDecision, change_id: u64) -> Verdict {
    let reason = reason.to_owned();
    Verdict { file: file(number), status, reason, decision, threat_score: None, threat_name: None, is_final: true, change_id }
}

fn scan(number: u8) -> ScanId {
    ScanId::from_slice(&[number; 16]).unwrap()
}

fn progress(files: u64, state: ScanState) -> ScanProgress {
    ScanProgress {
        scan: scan(1),
        files,
        files_total: 0,
        candidates: 0,
        bytes: 0,
        package_trusted: 0,
        otherwise_trusted: 0,
        unresolved: 0,
        skipped: 0,
        elapsed_ms: 0,
        state,
    }
}

#[tokio::test]
async fn a_verdict_is_kept_put_in_force_and_passed_on_once() {
    let mut cms = TestCms::new().await;
    let mut host = TestHost::enrolled(&cms).await;
    host.find([1, 2]).await;
    let link = cms.welcomed(0).await;
    let malicious = verdict(1, Status::Threat, "malicious", VerdictDecision::Undecided, 5);
    let unknown = verdict(2, Status::Unverified, "unknown", VerdictDecision::Undecided, 6);
    link.say(CmsMessage::Verdicts(vec![malicious.clone(), unknown.clone()])).await;
    assert_eq!(soon("verdicts", host.verdicts.recv()).await.unwrap(), [malicious.clone(), unknown.clone()]);
    assert_eq!(host.pending.verdict(file(2)).await.unwrap(), Some(unknown.clone()));
    assert_eq!(host.pending.gauges().awaiting, 0);
    let subject = host.lists.subject(&file(1), &Evidence::default(), doorward_agent::list::ClosureClaim::Outside);
    assert_eq!(judge(&host.lists.rules(), &subject).row, Row::Threat);

    // A server says everything again on a new stream; an older word never undoes a newer one.
    let older = verdict(1, Status::Safe, "known", VerdictDecision::Undecided, 4);
    let newer = verdict(2, Status::Safe, "known", VerdictDecision::Undecided, 7);
    link.say(CmsMessage::Verdicts(vec![malicious.clone(), older, newer.clone()])).await;
    assert_eq!(soon("verdicts", host.verdicts.recv()).await.unwrap(), [newer]);
    assert_eq!(host.lists.verdict(&file(1)).as_deref(), Some(&malicious));

    let clock = cms.clock.clone();
    let (folder, credential) = host.stop().await;
    let host = TestHost::start(folder, credential, clock, QUICK);
    assert_eq!(host.pending.verdict(file(1)).await.unwrap(), Some(malicious));
}

#[tokio::test]
async fn commands_are_passed_on_and_those_that_find_no_room_are_answered() {
    let mut cms = TestCms::new().await;
    let mut host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    let command = |number: u128| Command {
        id: Uuid::from_u128(number),
        body: CommandBody::StartScan(StartScan { scan: scan(1), reference: true, roots: Vec::new() }),
    };
    for number in 0..=WAITING_MAX as u128 {
        link.say(CmsMessage::Command(command(number))).await;
    }
    let result = link.hear_about("a result", |message| if let AgentMessage::CommandResult(result) = message { Some(result) } else { None });
    let result = result.await;
    assert_eq!(result.id, Uuid::from_u128(WAITING_MAX as u128));
    assert!(result.error.is_some());
    for number in 0..WAITING_MAX as u128 {
        assert_eq!(soon("a command", host.commands.recv()).await.unwrap(), command(number));
        host.uplink.finished(Uuid::from_u128(number), Ok(()));
        let result =
            link.hear_about("a result", |message| if let AgentMessage::CommandResult(result) = message { Some(result) } else { None });
        assert_eq!(result.await, CommandResult { id: Uuid::from_u128(number), error: None });
    }
}

#[tokio::test]
async fn a_command_from_tomorrow_is_answered_and_ends_nothing() {
    let mut cms = TestCms::new().await;
    let _host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    let id = Uuid::from_u128(9);
    let body = doorward_proto::v1::Command { id: id.as_bytes().to_vec().into(), body: None };
    link.say_raw(doorward_proto::v1::CmsMessage { body: Some(doorward_proto::v1::cms_message::Body::Command(body)) }).await;
    let result = link.hear_about("a result", |message| if let AgentMessage::CommandResult(result) = message { Some(result) } else { None });
    let result = result.await;
    assert_eq!(result.id, id);
    assert!(result.error.is_some());
}

#[tokio::test]
async fn the_end_of_a_scan_is_told_after_its_last_finding_was_acknowledged() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    let told = |message| if let AgentMessage::ScanProgress(progress) = message { Some(progress) } else { None };
    host.uplink.progress(progress(10, ScanState::Running));
    assert_eq!(link.hear_about("progress", told).await.files, 10);
    host.find(0..5).await;
    host.uplink.progress(progress(20, ScanState::Done));
    let sent = link.reports(5).await;
    link.say(CmsMessage::Acknowledge(sent[3].sequence)).await;
    host.find([5]).await;
    let next = link.hear_about("reports, and no end before", |message| match message {
        AgentMessage::Reports(batch) => Some(batch.into_reports()),
        AgentMessage::ScanProgress(progress) => panic!("too early: {progress:?}"),
        _ => None,
    });
    let next = next.await;
    assert!(next[0].sequence > sent[4].sequence);
    link.say(CmsMessage::Acknowledge(sent[4].sequence)).await;
    let end = link.hear_about("the end", told).await;
    assert_eq!((end.files, end.state), (20, ScanState::Done));
}

#[tokio::test]
async fn results_and_ends_that_a_cut_may_have_swallowed_are_told_again() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    host.uplink.progress(progress(20, ScanState::Stopped));
    host.uplink.finished(Uuid::from_u128(1), Err("no".into()));
    for _ in 0..2 {
        let (mut end, mut result) = (None, None);
        while end.is_none() || result.is_none() {
            match link.hear().await.expect("the host stays") {
                AgentMessage::ScanProgress(progress) => end = Some(progress.state),
                AgentMessage::CommandResult(told) => result = told.error,
                _ => {}
            }
        }
        assert_eq!((end, result.as_deref()), (Some(ScanState::Stopped), Some("no")));
        drop(link);
        link = cms.welcomed(0).await;
    }
}

#[tokio::test]
async fn progress_is_told_at_most_twice_a_second_and_the_newest_counts() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    let told = |message| if let AgentMessage::ScanProgress(progress) = message { Some(progress.files) } else { None };
    host.uplink.progress(progress(0, ScanState::Running));
    assert_eq!(link.hear_about("progress", told).await, 0);
    let began = tokio::time::Instant::now();
    (1..=1_000).for_each(|files| host.uplink.progress(progress(files, ScanState::Running)));
    assert_eq!(link.hear_about("progress", told).await, 1_000);
    assert!(began.elapsed() > Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_failure_is_told_without_waiting_for_the_next_heartbeat() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..3).await;
    let mut link = cms.welcomed(0).await;
    let told = |message| if let AgentMessage::Heartbeat(health) = message { Some(health) } else { None };
    let first = link.hear_about("a heartbeat", told).await;
    assert_eq!((first.pending, first.failures.len()), (3, 0));
    host.health.note(FailureReason::QueueFull);
    let second = link.hear_about("a heartbeat", told).await;
    assert_eq!((second.failures[0].reason.as_str(), second.failures[0].count), ("queue_full", 1));
}
