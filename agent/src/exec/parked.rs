//! Executions that wait for the management server's verdict on their file, within the one budget every execution has. Whoever is not
//! answered in time is denied by the deadline; here that is only noticed and recorded.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::held::Held;
use super::outcome::{Execution, Footing, Outcomes};
use crate::identify::Identified;

/// How often it is looked for news while anybody waits, in milliseconds.
const LOOK_MS: u64 = 5;
/// The same when nobody does: only to hear of the end.
const IDLE_MS: u64 = 500;

/// One of them.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) held: Arc<Held>,
    pub(super) execution: Execution,
    pub(super) file: Identified,
    pub(super) footing: Footing,
    /// What it was last judged by.
    pub(super) generation: u64,
}

/// All of them; bounded, since what is held is.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: Mutex<Vec<Waiting>>,
    changed: Condvar,
}

impl Parked {
    /// Adds one.
    pub(super) fn add(&self, waiting: Waiting) {
        self.lock().push(waiting);
        self.changed.notify_all();
    }

    /// Answers whatever news settle, until `is_over`; those still here then are let go with everybody else.
    pub(super) fn run(&self, outcomes: &Outcomes, is_over: impl Fn() -> bool) {
        while !is_over() {
            let waiting = self.lock();
            let wait = Duration::from_millis(if waiting.is_empty() { IDLE_MS } else { LOOK_MS });
            drop(self.changed.wait_timeout(waiting, wait).unwrap_or_else(PoisonError::into_inner));
            for done in self.take_done(outcomes) {
                outcomes.settle(done.execution, &done.file);
            }
        }
    }

    /// Takes those that were answered by the deadline or can be answered now.
    fn take_done(&self, outcomes: &Outcomes) -> Vec<Waiting> {
        let waiting = std::mem::take(&mut *self.lock());
        let (mut done, mut still) = (Vec::new(), Vec::new());
        for mut one in waiting {
            let is_news = one.generation != outcomes.judge.generation();
            one.execution.given = one.held.given().or_else(|| if is_news { outcomes.answer_parked(&mut one) } else { None });
            if one.execution.given.is_some() { done.push(one) } else { still.push(one) }
        }
        self.lock().append(&mut still);
        done
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
