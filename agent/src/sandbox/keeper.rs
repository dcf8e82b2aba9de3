//! A thread that keeps one helper at its post: it starts it, asks it, ends it when it does not answer, and starts the next.
//!
//! The thread is the helper's parent in the kernel's eyes, so the helper dies with it, however this process ends.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::helper::{Asked, Ended, Helper, Unanswered};
use super::queue::{Job, Queue, Taken};
use super::standing::{Place, Standings};
use super::{Facts, NoFacts, Setup};
use crate::health::{FailureReason, Health};

/// How often it is looked whether a helper that is not asked anything is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Pause before the second start in a row of which no helper lived to answer; doubles with each. The first follows at once.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A helper that worked this long is replaced between two questions, well before its limit of processor time ends it.
const WORK_MAX: Duration = Duration::from_secs(300);

/// Starts a thread that keeps the helper of one place until the queue is closed.
pub(super) fn keep(place: usize, setup: Setup, queue: Arc<Queue>, standings: Arc<Standings>, health: Health) {
    let told = Arc::clone(&standings);
    let mut keeper = Keeper { place, setup, standings, health, helper: None, leaving: None, losses: 0, not_before: Instant::now() };
    let started = thread::Builder::new().name(format!("sandbox-{place}")).spawn(move || keeper.run(&queue));
    if let Err(error) = started {
        let never = Instant::now() + Duration::from_secs(u32::MAX.into());
        told.set(place, Place::Empty { reason: format!("no thread for it: {error}"), until: never });
    }
}

struct Keeper {
    place: usize,
    setup: Setup,
    standings: Arc<Standings>,
    health: Health,
    helper: Option<Helper>,
    /// One that was ended and is not gone yet. No other is started until it is, so that there are never more than were asked for.
    leaving: Option<Helper>,
    /// Helpers lost in a row, none of which answered anything.
    losses: u32,
    not_before: Instant,
}

impl Keeper {
    fn run(&mut self, queue: &Queue) {
        loop {
            self.ensure();
            if self.helper.is_none() {
                // Questions are left to keepers that have a helper.
                let pause = self.not_before.saturating_duration_since(Instant::now()).clamp(PAUSE_MIN, LOOK_INTERVAL);
                if queue.rest(pause) {
                    return;
                }
                continue;
            }
            match queue.take(LOOK_INTERVAL) {
                Taken::Closed => return,
                Taken::Nothing => {}
                Taken::Job(job) => {
                    let outcome = self.answer(&job);
                    // Whoever asked may have left.
                    let _ = job.answer.try_send(outcome);
                }
            }
        }
    }

    /// Asks; once more when the helper turns out to have been gone before.
    fn answer(&mut self, job: &Job) -> Result<Facts, NoFacts> {
        let asked = Asked { question: job.question.clone(), size: job.size };
        for _ in 0..2 {
            self.ensure();
            let Some(helper) = &mut self.helper else { return Err(NoFacts::Unavailable) };
            match helper.ask(&asked, &job.file, job.due) {
                Ok(facts) => {
                    self.losses = 0;
                    return Ok(facts);
                }
                Err(Unanswered::GoesOn(reason)) => {
                    self.losses = 0;
                    return Err(reason);
                }
                Err(Unanswered::Spoilt(reason)) => {
                    self.dismiss();
                    return Err(reason);
                }
                Err(Unanswered::Lost) => return Err(NoFacts::Lost { signal: self.lose() }),
                Err(Unanswered::Unasked) => {
                    self.lose();
                }
            }
        }
        Err(NoFacts::Unavailable)
    }

    /// Has a fresh helper at its post, unless it is too early to try again.
    fn ensure(&mut self) {
        if self.helper.as_ref().is_some_and(|helper| !helper.is_alive()) {
            self.lose();
        }
        if self.helper.as_ref().is_some_and(|helper| helper.asked_for() > WORK_MAX) {
            self.helper = None;
        }
        if self.helper.is_some() || Instant::now() < self.not_before || !self.has_left() {
            return;
        }
        match Helper::start(&self.setup) {
            Ok(helper) => {
                for missing in helper.missing() {
                    tracing::warn!(%missing, "the sandboxed helper works without a wall that this kernel or the unit does not give it");
                }
                self.standings.set(self.place, Place::AtPost { pid: helper.pid(), missing: helper.missing().to_vec() });
                self.helper = Some(helper);
            }
            Err(error) => {
                self.pause();
                self.health.note(FailureReason::SandboxLost);
                tracing::error!(%error, "a sandboxed helper cannot be started; what only it may read proves nothing until it can");
                self.say_empty(error.to_string());
            }
        }
    }

    /// Whether the last helper is gone.
    fn has_left(&mut self) -> bool {
        if self.leaving.as_mut().is_some_and(|helper| helper.end() == Ended::NotYet) {
            return false;
        }
        self.leaving = None;
        true
    }

    /// Takes account of a helper that ended on its own; the signal that ended it, if one did.
    fn lose(&mut self) -> Option<i32> {
        let mut helper = self.helper.take()?;
        let ended = helper.ended_by_itself();
        self.health.note(FailureReason::SandboxLost);
        self.pause();
        self.say_empty("it ended and is started again".to_owned());
        let Ended::By(signal) = ended else {
            self.leaving = Some(helper);
            return None;
        };
        tracing::warn!(?signal, "a sandboxed helper ended; it is started again");
        signal
    }

    /// Ends a helper that does not answer, or not sensibly.
    fn dismiss(&mut self) {
        let Some(mut helper) = self.helper.take() else { return };
        self.pause();
        self.say_empty("it was ended for not answering and is started again".to_owned());
        if helper.end() == Ended::NotYet {
            self.leaving = Some(helper);
        }
    }

    fn say_empty(&self, reason: String) {
        self.standings.set(self.place, Place::Empty { reason, until: self.not_before });
    }

    fn pause(&mut self) {
        let pause = match self.losses {
            0 => Duration::ZERO,
            losses => PAUSE_MIN.saturating_mul(1 << (losses - 1).min(16)).min(PAUSE_MAX),
        };
        self.losses = self.losses.saturating_add(1);
        self.not_before = Instant::now() + pause;
    }
}
