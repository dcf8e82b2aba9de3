//! Policies and settings on their way to a host: taken whole and verified, or refused with nothing changed.

use doorward_agent::health::FailureReason;
use doorward_policy::{Evidence, Mode, PathBytes, Row, judge};
use doorward_proto::snapshot::{Part, Policy, Position, Record, RecordKind, RecordScope};
use doorward_proto::uplink::{AgentMessage, CmsMessage, HostSettings, PolicyState, SettingsState};
use doorward_proto::v1;

use crate::cms::{Link, TestCms, publish, signer};
use crate::host::{QUICK, TestHost, file};

fn deny(number: u32) -> Record {
    Record::file(&file(number), RecordKind::FileDeniedByPerson, RecordScope::Profile)
}

fn denied(host: &TestHost, number: u32) -> bool {
    let subject = host.lists.subject(&file(number), &Evidence::default(), doorward_agent::list::ClosureClaim::Outside);
    judge(&host.lists.rules(), &subject).row == Row::DeniedByPerson
}

async fn send(link: &Link, parts: impl IntoIterator<Item = Part>) {
    for part in parts {
        link.say(CmsMessage::PolicySnapshot(part)).await;
    }
}

async fn policy_state(link: &mut Link) -> PolicyState {
    link.hear_about("a policy state", |message| if let AgentMessage::PolicyState(state) = message { Some(state) } else { None }).await
}

async fn settings_state(link: &mut Link) -> SettingsState {
    link.hear_about("a settings state", |message| if let AgentMessage::SettingsState(state) = message { Some(state) } else { None }).await
}

async fn snapshot_request(link: &mut Link) -> String {
    let pick = |message| if let AgentMessage::SnapshotRequest(reason) = message { Some(reason) } else { None };
    link.hear_about("a request for a snapshot", pick).await
}

async fn take(link: &mut Link, policy: &Policy) {
    send(link, policy.parts()).await;
    let PolicyState { epoch, revision, refused } = policy_state(link).await;
    assert_eq!((Position { epoch, revision }, refused), (policy.head().position(), None));
}

#[tokio::test]
async fn a_snapshot_and_the_steps_after_it_come_into_force_and_survive_a_restart() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    let first = cms.publish(1, (0..70_000).map(deny));
    take(&mut link, &first).await;
    assert!(denied(&host, 69_999) && !denied(&host, 70_000));
    let second = cms.publish(2, (1..70_001).map(deny));
    link.say(CmsMessage::PolicyDelta(first.diff(&second).unwrap())).await;
    assert_eq!(policy_state(&mut link).await, PolicyState { epoch: 1, revision: 2, refused: None });
    assert!(denied(&host, 70_000) && !denied(&host, 0));
    drop(link);
    let clock = cms.clock.clone();
    let (folder, credential) = host.stop().await;
    let host = TestHost::start(folder, credential, clock, QUICK);
    assert!(denied(&host, 70_000));
    let hello = cms.link().await.hello().await;
    // The host that stopped may have come back once before it did.
    let hello = if hello.policy_revision == 2 { hello } else { cms.link().await.hello().await };
    assert_eq!((hello.policy_epoch, hello.policy_revision), (1, 2));
}

#[tokio::test]
async fn a_short_replayed_or_wrongly_signed_policy_changes_nothing_and_is_told() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    let good = cms.publish(5, [deny(1), deny(2)]);
    take(&mut link, &good).await;
    let cut = |policy: &Policy| policy.parts().filter(|part| !matches!(part, Part::Records(_))).collect::<Vec<_>>();
    let foreign = publish(&signer(), 9, []);
    let mut mixed: Vec<Part> = cms.publish(9, [deny(3), deny(4)]).parts().collect();
    mixed[1] = good.parts().nth(1).unwrap();
    let cases = [
        ("cut", cut(&cms.publish(9, [deny(3)]))),
        ("replayed", good.parts().collect()),
        ("older", cms.publish(4, []).parts().collect()),
        ("signed by another", foreign.parts().collect()),
        ("with other records", mixed),
        ("without a head", cms.publish(9, [deny(3)]).parts().skip(1).take(1).collect()),
    ];
    let mut refused = 0;
    for (what, parts) in cases {
        send(&link, parts).await;
        if what == "without a head" {
            // A refusal before it already asked for a new beginning, so this says nothing; the next head is taken.
            continue;
        }
        let state = policy_state(&mut link).await;
        assert!(state.refused.is_some(), "{what}");
        refused += 1;
        assert_eq!(host.lists.policy().head().position(), good.head().position(), "{what}");
        assert!(denied(&host, 1) && !denied(&host, 3), "{what}");
    }
    assert_eq!(host.health.count(FailureReason::PolicyRefused), refused);
    take(&mut link, &cms.publish(10, [deny(3)])).await;
    assert!(denied(&host, 3) && !denied(&host, 1));
}

#[tokio::test]
async fn a_step_that_cannot_be_taken_is_answered_by_asking_for_the_whole() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    take(&mut link, &cms.publish(1, [deny(1)])).await;
    let (third, fourth) = (cms.publish(3, [deny(3)]), cms.publish(4, [deny(4)]));
    link.say(CmsMessage::PolicyDelta(third.diff(&fourth).unwrap())).await;
    assert!(policy_state(&mut link).await.refused.is_some());
    snapshot_request(&mut link).await;
    assert!(denied(&host, 1));
    take(&mut link, &fourth).await;
    assert!(denied(&host, 4));

    let forged = publish(&signer(), 6, [deny(6)]);
    link.say(CmsMessage::PolicyDelta(fourth.diff(&forged).unwrap())).await;
    assert!(policy_state(&mut link).await.refused.is_some());
    snapshot_request(&mut link).await;
    // A replay is refused and asks for nothing.
    link.say(CmsMessage::PolicyDelta(third.diff(&fourth).unwrap())).await;
    let next = link.hear_about("an answer", |message| match message {
        AgentMessage::PolicyState(state) => Some(state),
        AgentMessage::SnapshotRequest(reason) => panic!("asked for a snapshot over a replay: {reason}"),
        _ => None,
    });
    assert!(next.await.refused.is_some());
    assert!(denied(&host, 4) && !denied(&host, 6));
}

#[tokio::test]
async fn a_policy_this_agent_is_too_old_for_is_refused_and_the_old_one_stays() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    take(&mut link, &cms.publish(1, [deny(1)])).await;
    let mut parts: Vec<v1::PolicySnapshot> = cms.publish(2, [deny(1)]).parts().map(Into::into).collect();
    let Some(v1::policy_snapshot::Part::Head(head)) = &mut parts[0].part else { panic!("no head") };
    head.rules.as_mut().unwrap().package_level = 77;
    for part in parts {
        link.say_raw(v1::CmsMessage { body: Some(v1::cms_message::Body::PolicySnapshot(part)) }).await;
    }
    let state = policy_state(&mut link).await;
    assert!(state.revision == 2 && state.refused.is_some());
    assert!(denied(&host, 1));
    take(&mut link, &cms.publish(3, [deny(2)])).await;
}

#[tokio::test]
async fn settings_rise_and_what_is_not_understood_is_refused_without_ending_the_stream() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    let mut link = cms.welcomed(0).await;
    let settings = HostSettings { revision: 3, mode: Mode::Protect, exclusions: vec![PathBytes::new("/srv\n")], ..HostSettings::default() };
    link.say(CmsMessage::Settings(settings.clone())).await;
    assert_eq!(settings_state(&mut link).await, SettingsState { revision: 3, refused: None });
    assert_eq!(*host.lists.settings(), settings);
    link.say(CmsMessage::Settings(HostSettings { revision: 2, ..HostSettings::default() })).await;
    assert!(settings_state(&mut link).await.refused.is_some());

    let mut wire = v1::HostSettings::from(HostSettings { revision: 4, ..HostSettings::default() });
    wire.mode = 0;
    link.say_raw(v1::CmsMessage { body: Some(v1::cms_message::Body::Settings(wire)) }).await;
    let state = settings_state(&mut link).await;
    assert!(state.revision == 4 && state.refused.is_some());
    assert_eq!(*host.lists.settings(), settings);
    assert_eq!(host.health.count(FailureReason::SettingsRefused), 2);
}
