//! What went wrong, how often, and whether the loops still turn.
//!
//! [`failure`] is the table of everything that can fail in the daemon and what is done about it; [`Health`] counts it; [`pulse`]
//! ties the service manager's watchdog to the progress of every loop, so that a stuck daemon is started anew; [`guard`] is for
//! when even that would wait for the daemon. But for starting a guard and sending it away, nothing here ever blocks or logs: it
//! is called from the reader thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

pub mod failure;
pub mod guard;
pub mod pulse;

pub use failure::{FailureAction, FailureReason};
pub use guard::{Guard, Heartbeat};
pub use pulse::{Pulse, Pulses};

/// Counters of failures since the daemon started. Cheap to clone and to share.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    counts: [AtomicU64; FailureReason::ALL.len()],
    report_due: Notify,
}

impl Default for Shared {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; _], report_due: Notify::new() }
    }
}

impl Health {
    /// Counts a failure and says what its row of the table asks the caller to do.
    pub fn note(&self, reason: FailureReason) -> FailureAction {
        self.note_many(reason, 1)
    }

    /// Counts `times` failures of one kind at once; none when `times` is 0.
    pub fn note_many(&self, reason: FailureReason, times: u64) -> FailureAction {
        let action = reason.action();
        if times > 0 {
            self.0.counts[reason.index()].fetch_add(times, Ordering::Relaxed);
            if action.is_reported() {
                self.0.report_due.notify_one();
            }
        }
        action
    }

    /// Counts a failure by its code, as parts that do not know the table give it.
    pub fn note_code(&self, code: &str) -> FailureAction {
        self.note(FailureReason::from_code(code).unwrap_or(FailureReason::Unlisted))
    }

    /// How often one kind of failure happened.
    #[must_use]
    pub fn count(&self, reason: FailureReason) -> u64 {
        self.0.counts[reason.index()].load(Ordering::Relaxed)
    }

    /// Every kind that happened at least once, by its code.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        FailureReason::ALL.into_iter().map(|reason| (reason.code(), self.count(reason))).filter(|(_, count)| *count > 0).collect()
    }

    /// Waits until something happened that the CMS should hear of; returns at once when it happened since the last wait.
    pub async fn report_due(&self) {
        self.0.report_due.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_listed() {
        let health = Health::default();
        health.note(FailureReason::QueueFull);
        health.note_many(FailureReason::QueueFull, 4);
        health.note_many(FailureReason::MarkFailed, 0);
        assert_eq!(health.counts(), [("queue_full", 5)]);
    }

    #[tokio::test]
    async fn a_reported_failure_wakes_whoever_sends_health() {
        let health = Health::default();
        health.note(FailureReason::QueueFull);
        tokio::time::timeout(std::time::Duration::from_secs(5), health.report_due()).await.expect("woken");
    }

    #[tokio::test]
    async fn a_failure_that_is_only_counted_wakes_nobody() {
        let health = Health::default();
        assert_eq!(health.note(FailureReason::FileUnreadable), FailureAction::Count);
        let woken = tokio::time::timeout(std::time::Duration::ZERO, health.report_due()).await;
        assert!(woken.is_err());
    }
}
