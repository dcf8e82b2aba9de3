//! Executions during a package transaction. dpkg and rpm put files in place before they write their digests down, so what nothing settles
//! now may be settled in a moment: such executions wait until the transaction is over and the database was read again, and are
//! then judged once more. So do those that were looked at before it was over and concluded upon after. Nothing waits for ever, and only files where nobody but root can put them wait at all. They wait in
//! memory: a daemon that is killed meanwhile loses them, at most the last ten minutes', and finds only what still runs at its start.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::executable::open_for_reading;
use super::monotonic_ms;
use super::mount::Mounts;
use super::outcome::Execution;
use super::walk::walk;
use crate::health::Pulse;
use crate::identify::{Identified, Identifier};
use crate::judge::Judge;
use crate::trust::transaction_is_open;

/// Executions that may wait; what does not fit is judged at once.
const WAITING_MAX: usize = 1024;
/// Time after the end of a transaction in which the database is read again, its own debouncing included.
const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// Longest an execution waits, however long the transaction takes.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is looked whether the transaction is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Executions that wait for a package transaction to end.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    waiting: Mutex<VecDeque<(Instant, Execution, Identified)>>,
    changed: Condvar,
}

impl Deferred {
    /// Takes an execution that nothing settles when a transaction could change that; false when it is to be settled at once.
    pub(super) fn offer(&self, judge: &Judge, execution: &Execution, file: &Identified) -> bool {
        let Some(path) = execution.location.proven().filter(|_| !execution.user_writable_folder) else { return false };
        // Nobody took the digest by which a package would vouch for it, so its package was not known then.
        let is_known_by_now = || !file.digests.suffice(judge.wanted_digest(path));
        if !(transaction_is_open(judge.trust().root()) || judge.trust().is_behind() || is_known_by_now()) {
            return false;
        }
        let mut waiting = self.waiting();
        let has_room = waiting.len() < WAITING_MAX;
        if has_room {
            waiting.push_back((Instant::now(), execution.clone(), file.clone()));
            self.changed.notify_all();
        }
        has_room
    }

    /// Waits for transactions to end and then has their executions settled, until `is_over`; the rest is settled then.
    pub(super) fn run(&self, means: &Means<'_>, settle: impl Fn(Execution, &Identified), is_over: impl Fn() -> bool) {
        let mut quiet_since = None;
        while !is_over() {
            means.pulse.idle();
            let oldest = self.wait();
            let Some(oldest) = oldest else { continue };
            means.pulse.beat(monotonic_ms());
            if transaction_is_open(means.judge.trust().root()) {
                quiet_since = None;
            } else if quiet_since.is_none() {
                quiet_since = Some(Instant::now());
            }
            let is_settled = quiet_since.is_some_and(|since| since.elapsed() >= SETTLED_AFTER);
            if is_settled || oldest.elapsed() >= PATIENCE {
                self.settle_all(means, &settle, &is_over);
                quiet_since = None;
            }
        }
        self.settle_all(means, &settle, &is_over);
    }

    /// Settles everybody who waits; once it is over, by what is known of their files and without reading any again.
    fn settle_all(&self, means: &Means<'_>, settle: &impl Fn(Execution, &Identified), is_over: &impl Fn() -> bool) {
        let waiting = std::mem::take(&mut *self.waiting());
        for (_, execution, file) in waiting {
            let again = (!is_over()).then(|| means.identify_again(&execution, &file, is_over)).flatten();
            settle(execution, &again.unwrap_or(file));
        }
    }

    /// When the oldest began to wait, if there is one; returns after one interval at the latest.
    fn wait(&self) -> Option<Instant> {
        let waiting = self.waiting();
        let (waiting, _) = self.changed.wait_timeout(waiting, LOOK_INTERVAL).unwrap_or_else(PoisonError::into_inner);
        waiting.front().map(|(since, ..)| *since)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Instant, Execution, Identified)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What settling needs.
pub(super) struct Means<'a> {
    pub(super) judge: &'a Judge,
    pub(super) identifier: &'a Identifier,
    pub(super) mounts: &'a ArcSwap<Mounts>,
    pub(super) pulse: &'a Pulse,
}

impl Means<'_> {
    /// The same content with a digest that nobody asked for before its package was known. `None` when the path holds something else
    /// by now, or when it is over meanwhile.
    fn identify_again(&self, execution: &Execution, file: &Identified, is_over: &impl Fn() -> bool) -> Option<Identified> {
        let path = execution.location.proven()?;
        let wanted = self.judge.wanted_digest(path);
        if file.digests.suffice(wanted) {
            return None;
        }
        let place = walk(path.as_bytes(), &self.mounts.load()).ok()?;
        let open = open_for_reading(&File::from(place.file))?;
        let stop = || {
            self.pulse.beat(monotonic_ms());
            is_over()
        };
        let again = self.identifier.file_as(&open, execution.claim(), wanted, &stop).ok()??;
        (again.digests.sha256 == file.digests.sha256).then_some(again)
    }
}
