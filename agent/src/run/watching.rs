//! Keeps a watch standing for as long as the host's mode asks for one, makes it anew when it fails, and reports what it covers.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use doorward_policy::{Mode, PathBytes};
use doorward_proto::limit::COVERAGE_FILESYSTEMS_MAX;
use doorward_proto::report::{Coverage, PROTECTION, Uncovered};
use doorward_proto::uplink::{CoverageKind, HostSettings};
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use crate::exec::coverage::nothing_covered;
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::exec::{Setup, Watch, monotonic_ms};
use crate::health::guard::{Guard, Heartbeat};
use crate::health::{FailureReason, Pulses};
use crate::system::group::{Class, GroupError};
use crate::system::limit;

/// Pause before watching is tried again after it failed: short at first, then this.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(300);
/// The first of those pauses.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);

/// A host that should protect and only detects, because the kernel refuses, tries again this often.
const PROTECT_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether the guard still stands.
const GUARD_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why a watch came to its end.
enum End {
    /// The daemon stops.
    Stopped,
    /// The CMS set another mode or coverage, or it is time to try protecting again; the watch goes on until another stands.
    OtherMode(Standing),
    /// A thread of it failed.
    Failed,
}

/// Watches until `cancel`.
pub(super) async fn keep_watching(agent: Arc<Agent>, cancel: CancellationToken) {
    let mut settings = agent.lists.settings_changes();
    let mut pause = RETRY_PAUSE_MIN;
    // Stands until the next one does, so that a change of mode leaves no gap.
    let mut last: Option<Standing> = None;
    while !cancel.is_cancelled() {
        let Some(asked) = asked_by(&settings.borrow_and_update()) else {
            stop(last.take()).await;
            uncovered(&agent, "this host's mode is disabled");
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = settings.changed() => continue,
            }
        };
        let started = match start(&agent, asked).await {
            Err(error) if asked.class == Class::Permission => fall_back(&agent, asked, error, &mut last).await,
            started => started,
        };
        stop(last.take()).await;
        match started {
            Ok(watch) => match hold(&agent, watch, asked, &mut settings, &cancel).await {
                End::Stopped => return,
                End::OtherMode(watch) => {
                    last = Some(watch);
                    pause = RETRY_PAUSE_MIN;
                    continue;
                }
                End::Failed => {}
            },
            Err(error) => {
                if uncovered(&agent, &error.to_string()) {
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
    stop(last).await;
}

/// What is asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    class: Class,
    coverage: CoverageKind,
}

/// What settings ask of the kernel; `None` when nothing is to be watched.
fn asked_by(settings: &HostSettings) -> Option<Asked> {
    let class = match settings.mode {
        Mode::Disabled => return None,
        Mode::Detect => Class::Notification,
        Mode::Protect => Class::Permission,
    };
    Some(Asked { class, coverage: settings.coverage })
}

/// A watch, and in protect the guard over it.
struct Standing {
    watch: Watch,
    /// What it does, which is less than was asked for where there is a refusal.
    asked: Asked,
    /// Why it only tells of executions where it should hold them.
    refusal: Option<String>,
    /// Dropped after the watch: once nothing is held, silence harms nobody.
    guard: Option<Arc<Mutex<Guard>>>,
}

impl Standing {
    /// What the watch covers, and that nothing is held where that was asked for.
    fn covers(&self, watched: &Coverage) -> Coverage {
        let mut coverage = watched.clone();
        if let Some(reason) = &self.refusal {
            let reason = format!("executions are only watched, not held: {reason}");
            coverage.uncovered.insert(0, Uncovered { mount_point: PathBytes::new(PROTECTION), filesystem: String::new(), reason });
            coverage.uncovered.truncate(COVERAGE_FILESYSTEMS_MAX);
        }
        coverage
    }
}

/// Where executions cannot be held they are watched all the same: by the watch that stood before, or by a new one.
async fn fall_back(agent: &Arc<Agent>, asked: Asked, error: GroupError, last: &mut Option<Standing>) -> Result<Standing, GroupError> {
    agent.health.note(FailureReason::ProtectRefused);
    let told = Asked { class: Class::Notification, ..asked };
    let standing = match last.take_if(|standing| standing.asked == told) {
        Some(standing) => standing,
        None => start(agent, told).await?,
    };
    Ok(Standing { refusal: Some(error.to_string()), ..standing })
}

/// Starts a watch with everything the daemon has; one that can hold executions only under a guard.
async fn start(agent: &Arc<Agent>, asked: Asked) -> Result<Standing, GroupError> {
    let agent = Arc::clone(agent);
    let started = tokio::task::spawn_blocking(move || start_blocking(&agent, asked)).await;
    started.unwrap_or(Err(GroupError::Malformed("starting the watch panicked")))
}

fn start_blocking(agent: &Arc<Agent>, asked: Asked) -> Result<Standing, GroupError> {
    let Asked { class, coverage } = asked;
    let guard = match class {
        Class::Notification => None,
        Class::Permission => Some(start_guard(agent)?),
    };
    let prompt = Pulses::default();
    let beat = beat(guard.as_ref().map(Guard::heartbeat), prompt.clone());
    if let Some(guard) = &guard {
        beat();
        guard.arm();
    }
    let inventory = Arc::clone(&agent.inventory);
    let watch = Watch::start(Setup {
        class,
        coverage,
        control_group: agent.settings.watch.control_group.clone(),
        judge: Arc::clone(&agent.judge),
        identifier: Arc::clone(&agent.identifier),
        pending: agent.pending.clone(),
        history: Arc::clone(&agent.history),
        counters: Arc::clone(&agent.counters),
        settled_by_source: Arc::new(move |source, file| inventory.note_execution(source, file)),
        health: agent.health.clone(),
        vital: agent.vital.clone(),
        slow: agent.slow.clone(),
        prompt,
        clock: agent.clock.clone(),
        beat,
    })?;
    Ok(Standing { watch, asked, refusal: None, guard: guard.map(|guard| Arc::new(Mutex::new(guard))) })
}

/// Whoever holds executions must never wait for memory, and somebody must end him when he stands still.
fn start_guard(agent: &Agent) -> Result<Guard, GroupError> {
    for prepared in [limit::lock_memory(), limit::exempt_from_oom()] {
        if let Err(error) = prepared {
            tracing::warn!(%error, "protecting all the same; on a host short of memory executions may wait longer");
        }
    }
    Guard::start().map_err(|error| {
        agent.health.note(FailureReason::GuardLost);
        GroupError::Unguarded(error)
    })
}

/// Proves to the guard that answers are given: only for as long as the reader comes back promptly.
fn beat(heartbeat: Option<Heartbeat>, prompt: Pulses) -> Arc<dyn Fn() + Send + Sync> {
    Arc::new(move || {
        if prompt.overdue(monotonic_ms()).is_none()
            && let Some(heartbeat) = &heartbeat
        {
            heartbeat.beat();
        }
    })
}

async fn stop(standing: Option<Standing>) {
    let Some(Standing { watch, guard, .. }) = standing else { return };
    let stopped = tokio::task::spawn_blocking(move || {
        watch.stop();
        drop(guard);
    });
    if let Err(error) = stopped.await {
        tracing::error!(%error, "stopping the watch panicked");
    }
}

/// Starts another guard when this one is gone.
async fn keep_guarded(agent: &Agent, guard: &Arc<Mutex<Guard>>) {
    let guard = Arc::clone(guard);
    let replaced = tokio::task::spawn_blocking(move || {
        let mut guard = guard.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_alive() { None } else { Some(guard.replace()) }
    });
    match replaced.await {
        Ok(None) => {}
        Ok(Some(outcome)) => {
            agent.health.note(FailureReason::GuardLost);
            match outcome {
                Ok(()) => tracing::warn!("the guard process was gone; another one watches"),
                Err(error) => tracing::error!(%error, "the guard process is gone and cannot be started; trying again"),
            }
        }
        Err(error) => tracing::error!(%error, "replacing the guard panicked"),
    }
}

/// Holds a watch, showing every change of what it covers, until it has to end.
async fn hold(
    agent: &Agent,
    standing: Standing,
    asked: Asked,
    settings: &mut tokio::sync::watch::Receiver<Arc<HostSettings>>,
    cancel: &CancellationToken,
) -> End {
    let mut coverage = standing.watch.coverage();
    let mut news = standing.covers(&coverage.borrow_and_update());
    log_coverage(standing.asked, &news);
    let began = Instant::now();
    loop {
        if show(agent, news)
            && let Some(reason) = &standing.refusal
        {
            tracing::error!(%reason, "this host should protect and can only detect: executions are watched and none is held");
        }
        tokio::select! {
            () = cancel.cancelled() => {
                stop(Some(standing)).await;
                return End::Stopped;
            }
            () = standing.watch.failed() => break,
            changed = settings.changed() => match changed {
                Ok(()) if asked_by(&settings.borrow_and_update()) != Some(asked) => return End::OtherMode(standing),
                _ => {}
            },
            changed = coverage.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(GUARD_LOOK_INTERVAL) => {
                if let Some(guard) = &standing.guard {
                    keep_guarded(agent, guard).await;
                }
                if standing.refusal.is_some() && began.elapsed() >= PROTECT_RETRY_INTERVAL {
                    return End::OtherMode(standing);
                }
            }
        }
        news = standing.covers(&coverage.borrow_and_update());
    }
    stop(Some(standing)).await;
    End::Failed
}

fn log_coverage(asked: Asked, coverage: &Coverage) {
    let uncovered = coverage.uncovered.iter().map(|entry| entry.mount_point.to_string()).collect::<Vec<_>>().join(" ");
    tracing::info!(watched = coverage.covered.len(), not_watched = %uncovered, class = ?asked.class, of = ?asked.coverage, "watching executions");
}

/// Shows that nothing is watched; true when that is news.
fn uncovered(agent: &Agent, reason: &str) -> bool {
    match Mounts::read(Path::new(MOUNTINFO)) {
        Ok(mounts) => show(agent, nothing_covered(&mounts, reason)),
        Err(error) => {
            tracing::error!(%error, "cannot read the mount table");
            true
        }
    }
}

/// Shows a coverage, which `upkeep` reports; true when it is another than before.
fn show(agent: &Agent, coverage: Coverage) -> bool {
    agent.coverage.send_if_modified(|last| {
        let is_news = *last != coverage;
        *last = coverage;
        is_news
    })
}
