//! The end of patience: every held execution is answered within one budget, whatever happens to those who look at its file. A thread
//! of its own that only sleeps, answers and beats; it reads nothing, so nothing can hold it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::held::Held;
use crate::health::{FailureReason, Health};
use crate::system::group::Answer;

/// From the event to the answer, in milliseconds: reading the file, judging it and waiting for a verdict together.
pub(super) const HOLD_DEADLINE_MS: u64 = 2_000;
/// The thread wakes at least this often, in milliseconds, to show that it turns.
const BEAT_MS: u64 = 250;
/// Entries kept at most. Those answered meanwhile are forgotten first; what is held is bounded elsewhere.
const ENTRIES_MAX: usize = 65_536;

/// Held executions in the order in which their time runs out.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    entries: Mutex<VecDeque<(Instant, Weak<Held>)>>,
    changed: Condvar,
}

impl Deadlines {
    /// Answers `held` in time if nobody else does. False when there is no room: to be answered at once.
    pub(super) fn add(&self, held: &Arc<Held>, now: Instant) -> bool {
        let mut entries = self.lock();
        if entries.len() >= ENTRIES_MAX {
            entries.retain(|(_, held)| held.upgrade().is_some_and(|held| held.given().is_none()));
        }
        let has_room = entries.len() < ENTRIES_MAX;
        if has_room {
            entries.push_back((now + Duration::from_millis(HOLD_DEADLINE_MS), Arc::downgrade(held)));
            if entries.len() == 1 {
                self.changed.notify_one();
            }
        }
        has_room
    }

    /// Denies what ran out of time, until `is_over`. `beat` is called a few times a second for as long as nothing is overdue.
    pub(super) fn run(&self, health: &Health, beat: impl Fn(), is_over: impl Fn() -> bool) {
        while !is_over() {
            beat();
            for held in self.due() {
                if held.given().is_none() && held.answer(Answer::Deny) == Answer::Deny {
                    health.note(FailureReason::DeadlineMissed);
                }
            }
        }
    }

    /// When the first of them runs out of time.
    #[cfg(test)]
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.lock().front().map(|(due, _)| *due)
    }

    /// Answers everything that is held now; for the end of watching.
    pub(super) fn let_go(&self) {
        let entries = std::mem::take(&mut *self.lock());
        for held in entries.into_iter().filter_map(|(_, held)| held.upgrade()) {
            held.answer(Answer::Allow);
        }
        self.changed.notify_all();
    }

    /// Waits for the first deadline, at most one beat, and takes what is due.
    fn due(&self) -> Vec<Arc<Held>> {
        let mut entries = self.lock();
        while entries.front().is_some_and(|(_, held)| held.upgrade().is_none_or(|held| held.given().is_some())) {
            entries.pop_front();
        }
        let beat = Duration::from_millis(BEAT_MS);
        let wait = entries.front().map_or(beat, |(due, _)| due.saturating_duration_since(Instant::now()).min(beat));
        let (mut entries, _) = self.changed.wait_timeout(entries, wait).unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let count = entries.partition_point(|(due, _)| *due <= now);
        entries.drain(..count).filter_map(|(_, held)| held.upgrade()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Weak<Held>)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::held::tests::held;

    #[test]
    fn who_is_not_answered_in_time_is_denied_and_who_is_stays_as_answered() {
        let deadlines = Deadlines::default();
        let (late, early) = (held(), held());
        let past = Instant::now().checked_sub(Duration::from_millis(HOLD_DEADLINE_MS)).unwrap();
        assert!(deadlines.add(&early, past) && deadlines.add(&late, past));
        early.answer(Answer::Allow);
        let (health, looks) = (Health::default(), std::cell::Cell::new(0));
        deadlines.run(&health, || looks.set(looks.get() + 1), || looks.get() == 2);
        assert_eq!((early.given(), late.given()), (Some(Answer::Allow), Some(Answer::Deny)));
        assert_eq!(health.count(FailureReason::DeadlineMissed), 1);
    }

    #[test]
    fn who_still_has_time_is_left_waiting_until_all_are_let_go() {
        let deadlines = Deadlines::default();
        let waiting = held();
        assert!(deadlines.add(&waiting, Instant::now()));
        assert!(deadlines.due().is_empty());
        assert_eq!(waiting.given(), None);
        deadlines.let_go();
        assert_eq!(waiting.given(), Some(Answer::Allow));
    }

    #[test]
    fn those_answered_take_no_room() {
        let deadlines = Deadlines::default();
        let now = Instant::now();
        for _ in 0..ENTRIES_MAX {
            deadlines.lock().push_back((now, Weak::new()));
        }
        assert!(deadlines.add(&held(), now));
        assert_eq!(deadlines.lock().len(), 1);
    }
}
