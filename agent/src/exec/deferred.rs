//! Executions during a package transaction. dpkg puts files in place before it writes their digests down, so what nothing settles
//! now may be settled in a moment: such executions wait until the transaction is over and the database was read again, and are
//! then judged once more. Nothing waits for ever, and only files where nobody but root can put them wait at all.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::AT_FDCWD;

use super::outcome::Execution;
use crate::identify::{Identified, Identifier, open_at};
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
        let is_roots_place = execution.location.proven().is_some() && !execution.user_writable_folder;
        if !is_roots_place || !transaction_is_open(judge.trust().root()) {
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
    pub(super) fn run(&self, judge: &Judge, identifier: &Identifier, settle: impl Fn(Execution, &Identified), is_over: impl Fn() -> bool) {
        let mut quiet_since = None;
        while !is_over() {
            let oldest = self.wait();
            let Some(oldest) = oldest else { continue };
            if transaction_is_open(judge.trust().root()) {
                quiet_since = None;
            } else if quiet_since.is_none() {
                quiet_since = Some(Instant::now());
            }
            let is_settled = quiet_since.is_some_and(|since| since.elapsed() >= SETTLED_AFTER);
            if is_settled || oldest.elapsed() >= PATIENCE {
                self.settle_all(judge, identifier, &settle);
                quiet_since = None;
            }
        }
        self.settle_all(judge, identifier, &settle);
    }

    fn settle_all(&self, judge: &Judge, identifier: &Identifier, settle: &impl Fn(Execution, &Identified)) {
        let waiting = std::mem::take(&mut *self.waiting());
        for (_, execution, file) in waiting {
            let again = identify_again(judge, identifier, &execution, &file).unwrap_or(file);
            settle(execution, &again);
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

/// The same content with an MD5, which nobody asked for before its package was known. `None` when the path holds something else by
/// now.
fn identify_again(judge: &Judge, identifier: &Identifier, execution: &Execution, file: &Identified) -> Option<Identified> {
    let path = execution.location.proven().filter(|path| file.digests.md5.is_none() && judge.wants_md5(path))?;
    let name = CString::new(path.as_bytes()).ok()?;
    let open = open_at(AT_FDCWD, &name).ok()?;
    let again = identifier.file(&open, path.file_name(), true, &|| false).ok()??;
    (again.digests.sha256 == file.digests.sha256).then_some(again)
}
