//! Reports reach the server, in order, at least once and with one content, and leave the host when the server has them.

use doorward_agent::health::FailureReason;
use doorward_proto::uplink::CmsMessage;

use crate::cms::TestCms;
use crate::host::{QUICK, TestHost, numbers};

#[tokio::test]
async fn reports_are_sent_as_they_come_and_forgotten_when_acknowledged() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..10).await;
    let mut link = cms.welcomed(0).await;
    assert_eq!(link.host, host.credential.host_id);
    let first = link.reports(10).await;
    assert_eq!(numbers(&first), (0..10).collect::<Vec<_>>());
    link.say(CmsMessage::Acknowledge(first[9].sequence)).await;
    host.empty().await;

    host.find([10]).await;
    let second = link.reports(1).await;
    assert_eq!(numbers(&second), [10]);
    assert_eq!(host.unacknowledged().await, [10]);
    link.say(CmsMessage::Acknowledge(second[0].sequence)).await;
    host.empty().await;
}

#[tokio::test]
async fn after_a_cut_everything_unacknowledged_comes_again_unchanged() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..30).await;
    let mut link = cms.welcomed(0).await;
    let sent = link.reports(30).await;
    link.say(CmsMessage::Acknowledge(sent[9].sequence)).await;
    crate::cms::until("the first acknowledgement", || host.pending.gauges().records == 20).await;
    drop(link);

    // The server had written more than it could say.
    let mut link = cms.welcomed(sent[14].sequence).await;
    assert_eq!(link.reports(15).await, sent[15..]);
    drop(link);

    // The host itself is started anew.
    let clock = cms.clock.clone();
    let (folder, credential) = host.stop().await;
    let host = TestHost::start(folder, credential, clock, QUICK);
    let mut link = cms.welcomed(sent[19].sequence).await;
    assert_eq!(link.reports(10).await, sent[20..]);
    link.say(CmsMessage::Acknowledge(sent[29].sequence)).await;
    host.empty().await;
}

#[tokio::test]
async fn the_window_is_never_exceeded() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..50).await;
    let mut link = cms.link().await;
    link.hello().await;
    link.welcome(0, 7).await;
    let mut taken = Vec::new();
    while taken.len() < 50 {
        let room = 7.min(50 - taken.len());
        let batch = link.reports(room).await;
        assert_eq!(batch.len(), room, "more than the window allows");
        taken.extend(numbers(&batch));
        link.say(CmsMessage::Acknowledge(batch[room - 1].sequence)).await;
    }
    assert_eq!(taken, (0..50).collect::<Vec<_>>());
    host.empty().await;
}

#[tokio::test]
async fn late_and_repeated_acknowledgements_change_nothing() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..6).await;
    let mut link = cms.welcomed(0).await;
    let sent = link.reports(6).await;
    for at in [3, 1, 3, 0] {
        link.say(CmsMessage::Acknowledge(sent[at].sequence)).await;
    }
    link.say(CmsMessage::Acknowledge(0)).await;
    host.find([6]).await;
    assert_eq!(numbers(&link.reports(1).await), [6], "the stream goes on");
    assert_eq!(host.unacknowledged().await, [4, 5, 6]);
}

#[tokio::test]
async fn a_made_up_acknowledgement_ends_the_stream_and_loses_nothing() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..3).await;
    let mut link = cms.welcomed(0).await;
    let sent = link.reports(3).await;
    link.say(CmsMessage::Acknowledge(sent[2].sequence + 1)).await;
    link.left().await;
    let mut link = cms.welcomed(0).await;
    assert_eq!(link.reports(3).await, sent);
    assert_eq!(host.health.count(FailureReason::UplinkMalformed), 1);
}

#[tokio::test]
async fn a_store_that_was_set_back_goes_on_under_a_new_name() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find(0..3).await;
    let mut link = cms.link().await;
    let old = link.hello().await.store_epoch;
    link.welcome(u64::MAX / 2, 100).await;
    let mut link = cms.link().await;
    let hello = link.hello().await;
    assert_ne!(hello.store_epoch, old);
    link.welcome(0, 100).await;
    assert_eq!(numbers(&link.reports(3).await), [0, 1, 2]);
    assert_eq!(host.health.count(FailureReason::PendingRolledBack), 1);
}
