//! Real signals to this very process. One test in a file of its own, so that no other test shares the process.

use std::process::Command;
use std::time::Duration;

use doorward_service::lifecycle::Lifecycle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn signal(name: &str) {
    let status = Command::new("kill").args(["-s", name, &std::process::id().to_string()]).status().expect("kill(1) is on every system");
    assert!(status.success(), "kill -s {name}: {status}");
}

#[tokio::test]
async fn hangup_reloads_and_terminate_stops_within_the_grace() {
    let life = Lifecycle::with_signals().expect("the kernel lets us listen");
    let cancel = life.cancel();
    let task = life.spawn(async move { cancel.cancelled().await });

    let reload = life.reload();
    tokio::pin!(reload);
    // Polled once before the signal, so that somebody waits when it comes.
    assert!(timeout(Duration::ZERO, &mut reload).await.is_err(), "nobody asked for a reload yet");
    signal("HUP");
    timeout(PATIENCE, reload).await.expect("a hangup is a request to reload");
    assert!(!life.cancel().is_cancelled(), "a reload is no stop");

    signal("TERM");
    timeout(PATIENCE, life.stopped()).await.expect("a terminate is a request to stop");
    assert_eq!(life.shutdown(PATIENCE).await, Ok(()));
    assert!(task.is_finished());
}
