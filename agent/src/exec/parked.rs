//! Executions that wait for the management server's verdict on their file, within the one budget every execution has. Whoever is not
//! answered in time is denied by the deadline; here that is only noticed and recorded. Whoever finds no room does not wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::held::Held;
use super::outcome::{Execution, Footing, Outcomes};
use crate::health::FailureReason;
use crate::identify::Identified;
use crate::judge::Basis;

/// How often it is looked for news while anybody waits, in milliseconds.
const LOOK_MS: u64 = 5;
/// The same when nobody does: only to hear of the end.
const IDLE_MS: u64 = 500;

/// Executions that may wait for verdicts at once. The kernel wakes every process that waits for any answer each time one is given, so
/// this many times the answers a second is what waiting costs the whole host: a hundred microseconds an answer here.
const PARKED_MAX: usize = 256;
/// The same for one user.
const OF_USER_MAX: usize = 64;

/// One of them.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) held: Arc<Held>,
    pub(super) execution: Execution,
    pub(super) file: Identified,
    pub(super) footing: Footing,
    /// What its last judgement rests on.
    pub(super) basis: Basis,
}

/// All of them, for at most [`PARKED_MAX`] in all and [`OF_USER_MAX`] of one user.
#[derive(Debug, Default)]
pub(super) struct Parked {
    waiting: Mutex<Vec<Waiting>>,
    changed: Condvar,
}

impl Parked {
    /// Adds one, or hands it back with the reason when too many wait: to be answered at once.
    #[expect(clippy::result_large_err, reason = "it is handed back to whoever had it")]
    pub(super) fn add(&self, waiting: Waiting) -> Result<(), (FailureReason, Waiting)> {
        let mut parked = self.lock();
        let user = waiting.execution.process.uid;
        if parked.len() >= PARKED_MAX {
            return Err((FailureReason::OverTotalCap, waiting));
        }
        if parked.iter().filter(|other| other.execution.process.uid == user).count() >= OF_USER_MAX {
            return Err((FailureReason::OverUserCap, waiting));
        }
        parked.push(waiting);
        drop(parked);
        self.changed.notify_one();
        Ok(())
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
        let mut waiting = self.lock();
        let (mut done, mut still) = (Vec::new(), Vec::with_capacity(waiting.len()));
        for mut one in waiting.drain(..) {
            let is_news = !outcomes.judge.holds(&one.basis);
            one.execution.given = one.held.given().or_else(|| if is_news { outcomes.answer_parked(&mut one) } else { None });
            if one.execution.given.is_some() { done.push(one) } else { still.push(one) }
        }
        *waiting = still;
        done
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use doorward_policy::Sha256;

    use super::*;
    use crate::exec::held::tests::held;
    use crate::exec::outcome::tests::execution;
    use crate::judge::tests::TestRoot;

    #[test]
    fn one_user_leaves_room_for_others_and_all_together_have_an_end() {
        let (parked, host) = (Parked::default(), TestRoot::new());
        let (file, basis) = (host.identified("usr/bin/packaged"), host.judge.basis(&Sha256::new([1; 32])));
        let add = |user: u32| {
            let mut execution = execution(1);
            execution.process.uid = Some(user);
            let footing = Footing { only_root_writes: true, is_lasting: true };
            parked.add(Waiting { held: held(), execution, file: file.clone(), footing, basis }).map_err(|(reason, _)| reason)
        };
        for user in 0..u32::try_from(PARKED_MAX / OF_USER_MAX).unwrap() {
            for _ in 0..OF_USER_MAX {
                add(user).unwrap();
            }
            let refused = add(user).unwrap_err();
            assert!(matches!(refused, FailureReason::OverUserCap | FailureReason::OverTotalCap), "{refused:?}");
        }
        assert_eq!(add(99), Err(FailureReason::OverTotalCap));
    }
}
