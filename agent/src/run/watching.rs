//! Keeps a watch standing for as long as the host's mode asks for one, makes it anew when it fails, and reports what it covers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_policy::Mode;
use doorward_proto::report::{Coverage, ReportBody};
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use crate::exec::coverage::nothing_covered;
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::exec::{Setup, Watch};
use crate::system::group::GroupError;

/// Pause before watching is tried again after it failed: short at first, then this.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(300);
/// The first of those pauses.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);

/// Why a watch came to its end.
enum End {
    /// The daemon stops.
    Stopped,
    /// The CMS set another mode.
    OtherMode,
    /// A thread of it failed.
    Failed,
}

/// Watches until `cancel`.
pub(super) async fn keep_watching(agent: Arc<Agent>, cancel: CancellationToken) {
    let mut settings = agent.lists.settings_changes();
    let mut pause = RETRY_PAUSE_MIN;
    while !cancel.is_cancelled() {
        if settings.borrow_and_update().mode == Mode::Disabled {
            uncovered(&agent, "this host's mode is disabled").await;
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = settings.changed() => continue,
            }
        }
        match start(&agent).await {
            Ok(watch) => match hold(&agent, watch, &mut settings, &cancel).await {
                End::Stopped => return,
                End::OtherMode => pause = RETRY_PAUSE_MIN,
                End::Failed => {}
            },
            Err(error) => {
                if uncovered(&agent, &error.to_string()).await {
                    tracing::error!(%error, "executions on this host are not watched; reports, `scan` and `why` work all the same");
                }
                if error.is_lasting() {
                    pause = RETRY_PAUSE_MAX;
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = settings.changed() => {}
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_PAUSE_MAX),
        }
    }
}

/// Starts a watch with everything the daemon has.
async fn start(agent: &Arc<Agent>) -> Result<Watch, GroupError> {
    let inventory = Arc::clone(&agent.inventory);
    let setup = Setup {
        judge: Arc::clone(&agent.judge),
        identifier: Arc::clone(&agent.identifier),
        pending: agent.pending.clone(),
        history: Arc::clone(&agent.history),
        counters: Arc::clone(&agent.counters),
        settled_by_package: Arc::new(move |package, file| inventory.note_execution(package, file)),
        health: agent.health.clone(),
        vital: agent.vital.clone(),
        slow: agent.slow.clone(),
        clock: agent.clock.clone(),
    };
    let started = tokio::task::spawn_blocking(move || Watch::start(setup)).await;
    started.unwrap_or(Err(GroupError::Malformed("starting the watch panicked")))
}

/// Holds a watch, reporting every change of what it covers, until it has to end.
async fn hold(
    agent: &Agent,
    watch: Watch,
    settings: &mut tokio::sync::watch::Receiver<Arc<doorward_proto::uplink::HostSettings>>,
    cancel: &CancellationToken,
) -> End {
    let mut coverage = watch.coverage();
    let mut news = coverage.borrow_and_update().clone();
    log_coverage(&news);
    let end = loop {
        report(agent, news).await;
        tokio::select! {
            () = cancel.cancelled() => break End::Stopped,
            () = watch.failed() => break End::Failed,
            changed = settings.changed() => match changed {
                Ok(()) if settings.borrow_and_update().mode == Mode::Disabled => break End::OtherMode,
                _ => {}
            },
            changed = coverage.changed() => if changed.is_err() { break End::Failed },
        }
        news = coverage.borrow_and_update().clone();
    };
    if let Err(error) = tokio::task::spawn_blocking(move || watch.stop()).await {
        tracing::error!(%error, "stopping the watch panicked");
    }
    end
}

fn log_coverage(coverage: &Coverage) {
    let uncovered = coverage.uncovered.iter().map(|entry| entry.mount_point.to_string()).collect::<Vec<_>>().join(" ");
    tracing::info!(watched = coverage.covered.len(), not_watched = %uncovered, "watching executions in detect mode");
}

/// Shows and reports that nothing is watched; true when that is news.
async fn uncovered(agent: &Agent, reason: &str) -> bool {
    match Mounts::read(Path::new(MOUNTINFO)) {
        Ok(mounts) => report(agent, nothing_covered(&mounts, reason)).await,
        Err(error) => {
            tracing::error!(%error, "cannot read the mount table");
            true
        }
    }
}

/// Shows a coverage, and reports it when it is another than before; true when it is.
async fn report(agent: &Agent, coverage: Coverage) -> bool {
    let is_news = agent.coverage.send_if_modified(|last| {
        let is_news = *last != coverage;
        last.clone_from(&coverage);
        is_news
    });
    if is_news && let Err(error) = agent.pending.add(ReportBody::Coverage(coverage)).await {
        agent.health.note_code(error.reason());
        tracing::error!(%error, "a change of coverage could not be reported");
    }
    is_news
}
