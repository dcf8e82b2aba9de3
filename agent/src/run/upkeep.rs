//! What has to be done now and then: health and inventory reports, keeping what was learned on disk, feeding the watchdog.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use doorward_proto::report::{Coverage, ReportBody};
use doorward_service::{Lifecycle, notify};
use tokio_util::sync::CancellationToken;

use super::agent::{Agent, load_verdicts, tell_of_anchors};
use super::insist::insist;
use crate::exec::monotonic_ms;
use crate::health::{FailureReason, Pulse};
use crate::system::memory;

/// Health is reported at most this often, however much fails.
const HEALTH_INTERVAL: Duration = Duration::from_secs(30);
/// Executions of packaged files are reported this often.
const INVENTORY_INTERVAL: Duration = Duration::from_secs(600);
/// A store that would not open is tried again this often.
const VERDICTS_INTERVAL: Duration = Duration::from_secs(5);
/// Files of anchors are looked at this often.
const ANCHORS_INTERVAL: Duration = Duration::from_secs(5);
/// Identities and inventory are put on disk this often.
const KEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// Memory that nobody uses any more goes back to the kernel this often.
const GIVE_BACK_INTERVAL: Duration = Duration::from_secs(60);
/// Loops are looked at this often when no service manager asks for more.
const PULSE_INTERVAL: Duration = Duration::from_secs(5);
/// The asynchronous part of the daemon comes back to its own pulse within this, in milliseconds, or it is stuck.
const RUNTIME_LIMIT_MS: i64 = 60_000;

/// Starts all upkeep.
pub(super) fn start(agent: &Arc<Agent>, lifecycle: &Lifecycle) {
    drop(lifecycle.spawn(report_health(Arc::clone(agent), lifecycle.cancel())));
    drop(lifecycle.spawn(report_coverage(Arc::clone(agent), lifecycle.cancel())));
    drop(lifecycle.spawn(report_inventory(Arc::clone(agent), lifecycle.cancel())));
    drop(lifecycle.spawn(keep_learned(Arc::clone(agent), lifecycle.cancel())));
    drop(lifecycle.spawn(renew_anchors(Arc::clone(agent), lifecycle.cancel())));
    drop(lifecycle.spawn(give_memory_back(lifecycle.cancel())));
    if !agent.knows_verdicts {
        drop(lifecycle.spawn(learn_verdicts(Arc::clone(agent), lifecycle.cancel())));
    }
    let pulse = agent.vital.add("runtime", RUNTIME_LIMIT_MS);
    drop(lifecycle.spawn(beat(pulse, lifecycle.cancel())));
    let (agent, lifecycle) = (Arc::clone(agent), lifecycle.clone());
    // A thread of its own: what it watches over may be the very runtime that stands still.
    if let Err(error) = thread::Builder::new().name("watchdog".into()).spawn(move || watch_pulses(&agent, &lifecycle)) {
        tracing::error!(%error, "nothing notices when a part of the daemon gets stuck");
    }
}

async fn report_health(agent: Arc<Agent>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = agent.health.report_due() => {}
        }
        // What cannot be reported now is in the next report's counters, and in every heartbeat.
        if let Err(error) = agent.pending.add(ReportBody::Health(agent.health_report())).await {
            tracing::warn!(%error, "failures could not be reported");
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
}

/// Brings every change of what is covered until it is kept; what is overtaken meanwhile is skipped.
async fn report_coverage(agent: Arc<Agent>, cancel: CancellationToken) {
    let mut coverage = agent.coverage.subscribe();
    // Whatever was found before this task began is news too.
    coverage.mark_changed();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = coverage.changed() => if changed.is_err() { return },
        }
        let news = coverage.borrow_and_update().clone();
        if news != Coverage::default() {
            insist(&agent.pending, &agent.health, &cancel, ReportBody::Coverage(news)).await;
        }
    }
}

async fn report_inventory(agent: Arc<Agent>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(INVENTORY_INTERVAL) => {}
        }
        for part in agent.inventory.changes().into_iter().flat_map(doorward_proto::report::Inventory::split) {
            insist(&agent.pending, &agent.health, &cancel, ReportBody::Inventory(part)).await;
        }
    }
}

/// Reads the verdicts that could not be read at the start; asking for them is what opens a store that would not open then.
async fn learn_verdicts(agent: Arc<Agent>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(VERDICTS_INTERVAL) => {}
        }
        let learning = Arc::clone(&agent);
        match tokio::task::spawn_blocking(move || load_verdicts(&learning.pending, &learning.lists)).await {
            Ok(Err(_)) => {}
            Ok(Ok(())) => return tracing::info!("the store of unsent reports can be used from now on"),
            Err(error) => return tracing::error!(%error, "reading verdicts panicked"),
        }
    }
}

async fn keep_learned(agent: Arc<Agent>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(KEEP_INTERVAL) => {}
        }
        let keeping = Arc::clone(&agent);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || keep(&keeping)).await {
            agent.health.note(FailureReason::IdentityStoreError);
            tracing::warn!(%error, "what was learned of files is not on disk; it is learned again after a restart");
        }
    }
}

/// Takes changes of the files of anchors over.
async fn renew_anchors(agent: Arc<Agent>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(ANCHORS_INTERVAL) => {}
        }
        let renewing = Arc::clone(&agent);
        if let Ok(Some(problems)) = tokio::task::spawn_blocking(move || renewing.judge.publishers().renew()).await {
            tell_of_anchors(agent.judge.publishers(), &problems, &agent.health);
        }
    }
}

/// Lets go of what a burst of reports or verdicts left behind.
async fn give_memory_back(cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(GIVE_BACK_INTERVAL) => {}
        }
        drop(tokio::task::spawn_blocking(memory::give_back).await);
    }
}

/// Puts on disk what was learned. Blocks.
pub(super) fn keep(agent: &Agent) -> io::Result<()> {
    agent.identifier.store().checkpoint(None)?;
    agent.judge.trust().ledger().keep()?;
    agent.inventory.keep()
}

/// Shows that asynchronous tasks get their turn.
async fn beat(pulse: Pulse, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        pulse.beat(monotonic_ms());
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(PULSE_INTERVAL) => {}
        }
    }
}

/// Tells the service manager that all is well for as long as every vital loop turns. When one does not, the daemon stops by itself
/// too, since not every manager watches.
fn watch_pulses(agent: &Agent, lifecycle: &Lifecycle) {
    let interval = notify::watchdog_interval().map_or(PULSE_INTERVAL, |interval| interval.min(PULSE_INTERVAL));
    let cancel = lifecycle.cancel();
    let mut was_slow = None;
    while !cancel.is_cancelled() {
        let now_ms = monotonic_ms();
        if let Some(name) = agent.vital.overdue(now_ms) {
            agent.health.note(FailureReason::LoopStuck);
            tracing::error!(loop_name = name, "a loop of the daemon is stuck; stopping, so that it can be started anew");
            lifecycle.stop();
            return;
        }
        notify::alive();
        let slow = agent.slow.overdue(now_ms);
        if let Some(name) = slow.filter(|_| slow != was_slow) {
            agent.health.note(FailureReason::WorkerStuck);
            tracing::warn!(loop_name = name, "a thread has been waiting for a disk for long");
        }
        was_slow = slow;
        thread::sleep(interval);
    }
}
