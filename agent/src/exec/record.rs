//! Puts reports of executions on disk, many with one commit. The only thread of the watch that waits for the pending store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use doorward_proto::report::ReportBody;

use super::monotonic_ms;
use super::queue::Queue;
use crate::health::{FailureReason, Health, Pulse};
use crate::pending::{Pending, PendingError};

/// Reports put on disk with one commit at most.
const COMMIT_REPORTS_MAX: usize = 256;
/// Pause before a failed commit is tried again, in milliseconds.
const RETRY_PAUSE_MS: u64 = 1000;
/// Steps in which the pause is slept, so that stopping is heard.
const PAUSE_STEPS: u64 = 10;

/// What the thread works with.
pub(super) struct Recorder {
    pub(super) reports: Arc<Queue<ReportBody>>,
    pub(super) pending: Pending,
    pub(super) health: Health,
    pub(super) is_stopping: Arc<AtomicBool>,
}

impl Recorder {
    /// Keeps reports until the queue is closed and empty.
    pub(super) fn run(&self, pulse: &Pulse) {
        while let Some(first) = self.reports.take() {
            let mut batch = vec![first];
            self.reports.take_more(COMMIT_REPORTS_MAX - 1, &mut batch);
            self.keep(batch, pulse);
            pulse.idle();
        }
    }

    fn keep(&self, batch: Vec<ReportBody>, pulse: &Pulse) {
        loop {
            pulse.beat(monotonic_ms());
            match self.pending.add_many_blocking(batch.clone()) {
                Ok(()) => return,
                Err(error) => {
                    self.health.note_code(error.reason());
                    if matches!(error, PendingError::TooLarge { .. } | PendingError::Closed) {
                        self.health.note_many(FailureReason::ReportDropped, batch.len() as u64);
                        return;
                    }
                    tracing::warn!(%error, reports = batch.len(), "cannot keep reports of executions; trying again");
                }
            }
            if self.pause() {
                self.health.note_many(FailureReason::ReportDropped, batch.len() as u64);
                return;
            }
        }
    }

    /// True when the daemon stops meanwhile: then the reports are lost, and counted.
    fn pause(&self) -> bool {
        (0..PAUSE_STEPS).any(|_| {
            thread::sleep(Duration::from_millis(RETRY_PAUSE_MS / PAUSE_STEPS));
            self.is_stopping.load(Ordering::Relaxed)
        })
    }
}
