//! Questions that wait for a helper: bounded, and open until the sandbox is dropped.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Facts, NoFacts, Question};

/// A question with everything a helper needs for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) question: Question,
    /// Bytes in the file.
    pub(super) size: u64,
    pub(super) file: File,
    /// When nobody waits for the answer any more.
    pub(super) due: Instant,
    pub(super) answer: SyncSender<Result<Facts, NoFacts>>,
}

/// What [`Queue::take`] came back with.
pub(super) enum Taken {
    Job(Job),
    /// Nothing was asked meanwhile.
    Nothing,
    /// The sandbox is gone.
    Closed,
}

/// Shared by whoever asks and the keepers.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl Queue {
    /// Room for `max` questions.
    pub(super) fn new(max: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new(), max }
    }

    /// Adds a question, or hands it back when there is no room.
    pub(super) fn offer(&self, job: Job) -> Result<(), Job> {
        let mut waiting = self.lock();
        if waiting.jobs.len() >= self.max || waiting.is_closed {
            return Err(job);
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        // All: one that rests for want of a helper must not take the wake-up of one that has one.
        self.changed.notify_all();
        Ok(())
    }

    /// The next question that still has time, waited for at most so long.
    pub(super) fn take(&self, patience: Duration) -> Taken {
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |waiting| waiting.jobs.is_empty() && !waiting.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.is_closed {
            return Taken::Closed;
        }
        while let Some(job) = waiting.jobs.pop_front() {
            if job.due > Instant::now() {
                return Taken::Job(job);
            }
        }
        Taken::Nothing
    }

    /// Waits so long without taking anything; true when the queue was closed.
    pub(super) fn rest(&self, patience: Duration) -> bool {
        let rested = self.changed.wait_timeout_while(self.lock(), patience, |waiting| !waiting.is_closed);
        rested.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// Refuses everything from now on; whoever waits learns of it.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        waiting.jobs.clear();
        drop(waiting);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
