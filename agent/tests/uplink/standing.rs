//! Who the host talks to and who talks to it: refusals, dead lines, renewal, and how the uplink says where it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorward_agent::credential::{enroll, load};
use doorward_agent::health::FailureReason;
use doorward_agent::uplink::Phase;
use doorward_proto::uplink::CmsMessage;
use doorward_service::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tonic::Status;

use crate::cms::{TestCms, authority, until};
use crate::host::{QUICK, TestHost, facts, numbers};

const DAY: i64 = 86_400_000_000;

/// Folders of a host that was enrolled at a server, not yet running.
async fn enrolled_folder(cms: &TestCms) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let now = cms.clock.now_micros();
    enroll(&folder.path().join("credential"), &cms.url("localhost"), &cms.token(), facts(), now).await.unwrap();
    folder
}

fn start(folder: tempfile::TempDir, clock: Clock) -> TestHost {
    let credential = load(&folder.path().join("credential")).unwrap().unwrap();
    TestHost::start(folder, credential, clock, QUICK)
}

/// Another server on the port of one that is gone.
async fn replace(cms: TestCms, with: impl AsyncFnOnce(TcpListener) -> TestCms) -> TestCms {
    let address = cms.address;
    drop(cms);
    let mut listener = None;
    crate::cms::soon("the port", async {
        while listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
            tokio::task::yield_now().await;
        }
    })
    .await;
    with(listener.unwrap()).await
}

#[tokio::test]
async fn a_server_of_another_authority_is_never_spoken_to() {
    let cms = TestCms::new().await;
    let folder = enrolled_folder(&cms).await;
    let clock = cms.clock.clone();
    let mut impostor = replace(cms, async |listener| {
        let clock = Clock::system();
        TestCms::start(listener, authority(&clock), None, &["localhost"], clock).await
    })
    .await;
    let host = start(folder, clock);
    host.phase(Phase::Refused).await;
    let error = host.uplink.state().borrow().last_error.clone().unwrap();
    assert!(error.contains("authority"), "{error}");
    assert!(host.health.count(FailureReason::UplinkRefused) > 0);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), impostor.link()).await.is_err());
}

#[tokio::test]
async fn a_certificate_the_server_does_not_take_is_a_refusal_and_not_a_bad_network() {
    let clock = Clock::system();
    let (own, other) = (authority(&clock), authority(&clock));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cms = TestCms::start(listener, own, Some(&other), &["localhost"], clock.clone()).await;
    let host = start(enrolled_folder(&cms).await, clock);
    host.phase(Phase::Refused).await;
    let error = host.uplink.state().borrow().last_error.clone().unwrap();
    assert!(error.contains("certificate") && error.contains("enroll"), "{error}");
    assert_eq!(host.health.count(FailureReason::UplinkMalformed), 0);
}

#[tokio::test]
async fn a_removed_host_is_told_so_and_taken_back_without_a_restart() {
    let mut cms = TestCms::new().await;
    let host = TestHost::enrolled(&cms).await;
    host.find([1]).await;
    cms.link().await.refuse(Status::permission_denied("removed\x1b[2J")).await;
    host.phase(Phase::Refused).await;
    let error = host.uplink.state().borrow().last_error.clone().unwrap();
    assert!(error.contains("removed") && !error.contains('\x1b'), "{error:?}");
    let mut link = cms.welcomed(0).await;
    host.phase(Phase::Connected).await;
    assert_eq!(numbers(&link.reports(1).await), [1]);
    let state = host.uplink.state().borrow().clone();
    assert_eq!((state.last_error, state.attempts, state.cms_version.as_deref()), (None, 0, Some("test")));
    assert!(state.clock_offset.is_some_and(|offset| offset < 0));
}

#[tokio::test]
async fn without_a_server_the_host_tries_again_and_again_and_keeps_its_reports() {
    let cms = TestCms::new().await;
    let folder = enrolled_folder(&cms).await;
    let clock = cms.clock.clone();
    let address = cms.address;
    drop(cms);
    // The port is taken by nobody who answers.
    let silent = TcpListener::bind(address).await;
    drop(silent);
    let host = start(folder, clock);
    host.find([1]).await;
    let mut state = host.uplink.state();
    crate::cms::soon("a few attempts", state.wait_for(|state| state.attempts >= 3)).await.unwrap();
    assert_eq!(host.unacknowledged().await, [1]);
    assert_eq!(host.health.counts(), [], "a dead network is no failure of this host");
    let (_folder, _) = host.stop().await;
}

/// Carries bytes to a server until it is frozen; then it takes and gives nothing, as a line does whose other end lost power.
struct Wire {
    address: std::net::SocketAddr,
    frozen: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

impl Wire {
    async fn to(server: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, frozen) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let mut task = JoinSet::new();
        let still = Arc::clone(&frozen);
        task.spawn(async move {
            let mut carriers = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = TcpStream::connect(server).await.unwrap().into_split();
                carriers.spawn(carry(from_near, to_far, Arc::clone(&still)));
                carriers.spawn(carry(from_far, to_near, Arc::clone(&still)));
            }
        });
        Self { address, frozen, _task: task }
    }
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, frozen: Arc<AtomicBool>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if frozen.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_line_that_went_dead_without_a_word_is_noticed() {
    let mut cms = TestCms::new().await;
    let wire = Wire::to(cms.address).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}", wire.address.port()).parse().unwrap();
    let credential = enroll(&folder.path().join("credential"), &url, &cms.token(), facts(), cms.clock.now_micros()).await.unwrap();
    let host = TestHost::start(folder, credential, cms.clock.clone(), QUICK);
    let _link = cms.welcomed(0).await;
    host.phase(Phase::Connected).await;
    wire.frozen.store(true, Ordering::SeqCst);
    let mut state = host.uplink.state();
    crate::cms::soon("the loss of the line", state.wait_for(|state| !state.is_connected())).await.unwrap();
    host.find([1]).await;
    wire.frozen.store(false, Ordering::SeqCst);
    let mut link = cms.welcomed(0).await;
    assert_eq!(numbers(&link.reports(1).await), [1]);
}

#[tokio::test]
async fn a_certificate_is_renewed_when_half_of_its_time_is_over() {
    let clock = Clock::standing(1_800_000_000_000_000);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut cms = TestCms::start(listener, authority(&clock), None, &["localhost"], clock.clone()).await;
    let folder = enrolled_folder(&cms).await;
    let path = folder.path().join("credential");
    let before = load(&path).unwrap().unwrap().validity().unwrap();

    let host = start(folder, clock.clone());
    let link = cms.welcomed(0).await;
    host.phase(Phase::Connected).await;
    link.say(CmsMessage::Acknowledge(0)).await;
    assert_eq!(load(&path).unwrap().unwrap().validity().unwrap(), before, "not yet");
    drop(link);

    clock.advance(46 * DAY);
    let _link = cms.welcomed(0).await;
    until("a renewed certificate", || load(&path).unwrap().unwrap().validity().unwrap() != before).await;
    let renewed = load(&path).unwrap().unwrap();
    assert!(renewed.validity().unwrap().not_after > before.not_after);
    assert_eq!(renewed.host_id, host.credential.host_id);
    drop(_link);

    // Connections are made with it from now on; the first one runs out here, and the server's own is of the same age.
    let link = cms.welcomed(0).await;
    assert_eq!(link.host, host.credential.host_id);
}
