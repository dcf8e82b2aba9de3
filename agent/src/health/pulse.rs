//! Whether the daemon's loops still turn. Each loop beats; the watchdog is fed only while no beat is overdue.
//!
//! A loop that waits for work is idle and never overdue; one that took work up and does not come back is. Time comes in as a
//! parameter (milliseconds of a monotonic clock), so nothing here depends on when it is tested.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Value of a pulse whose loop waits for work.
const IDLE: i64 = i64::MIN;

/// The beat of one loop, for as long as the loop has it. Cheap enough for the reader thread: one atomic store.
#[derive(Debug)]
pub struct Pulse(Arc<Beat>);

#[derive(Debug)]
struct Beat {
    name: &'static str,
    limit_ms: i64,
    last_ms: AtomicI64,
}

impl Pulse {
    /// The loop took up work, or got a step further with it, at `now_ms`.
    pub fn beat(&self, now_ms: i64) {
        self.0.last_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The loop waits for work and may do so for as long as it likes.
    pub fn idle(&self) {
        self.0.last_ms.store(IDLE, Ordering::Relaxed);
    }
}

/// All loops there are now. One that ended, however it did, is no longer looked at: that it is missing is for others to notice.
#[derive(Debug, Clone, Default)]
pub struct Pulses(Arc<Mutex<Vec<Weak<Beat>>>>);

impl Pulses {
    /// Adds a loop that must come back within `limit_ms` of taking up work. It is idle until its first beat.
    #[must_use]
    pub fn add(&self, name: &'static str, limit_ms: i64) -> Pulse {
        let beat = Arc::new(Beat { name, limit_ms, last_ms: AtomicI64::new(IDLE) });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&beat));
        Pulse(beat)
    }

    /// The name of a loop that is overdue at `now_ms`, if one is.
    #[must_use]
    pub fn overdue(&self, now_ms: i64) -> Option<&'static str> {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        beats.retain(|beat| beat.strong_count() > 0);
        let is_overdue = |beat: &Arc<Beat>| {
            let last_ms = beat.last_ms.load(Ordering::Relaxed);
            last_ms != IDLE && now_ms.saturating_sub(last_ms) > beat.limit_ms
        };
        beats.iter().filter_map(Weak::upgrade).find(is_overdue).map(|beat| beat.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_come_back_is_named() {
        let pulses = Pulses::default();
        let reader = pulses.add("reader", 1_000);
        let worker = pulses.add("worker", 30_000);
        reader.beat(5_000);
        worker.beat(5_000);
        assert_eq!(pulses.overdue(6_000), None);
        assert_eq!(pulses.overdue(6_001), Some("reader"));
        reader.beat(6_001);
        assert_eq!(pulses.overdue(7_000), None);
        reader.idle();
        assert_eq!(pulses.overdue(35_001), Some("worker"));
    }

    #[test]
    fn a_loop_that_ended_is_not_waited_for() {
        let pulses = Pulses::default();
        let reader = pulses.add("reader", 10);
        reader.beat(0);
        assert_eq!(pulses.overdue(100), Some("reader"));
        drop(reader);
        assert_eq!(pulses.overdue(100), None);
    }

    #[test]
    fn waiting_for_work_is_no_fault() {
        let pulses = Pulses::default();
        let worker = pulses.add("worker", 10);
        assert_eq!(pulses.overdue(i64::MAX), None);
        worker.beat(0);
        worker.idle();
        assert_eq!(pulses.overdue(i64::MAX), None);
    }
}
