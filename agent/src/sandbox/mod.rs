//! The sandbox: processes of their own that read what attackers wrote, and can do nothing else.
//!
//! Whatever reads bytes that somebody other than root may have made (archives, signatures, headers) does so in a helper: this program,
//! executed again, which receives an open file and a [`Question`] over a socket and answers with [`Facts`]. It has no file system, no
//! network, no capabilities and a user of its own ([`confine`]), a bounded memory, and as much time as the question's deadline says.
//! This file is what callers see; [`keeper`] keeps a helper alive, [`helper`] speaks with it, [`duty`] is the helper's own life.
//!
//! A helper that fails proves nothing about a file: what comes back is [`NoFacts`], never a fact and never a judgement. Nobody who
//! answers the kernel may wait for longer than [`EXECUTION_DEADLINE`].

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::stat::fstat;

use crate::health::{FailureReason, Health};

pub mod confine;
pub mod duty;
mod filter;
mod frame;
mod helper;
mod keeper;
mod parse;
mod positional;
mod question;
mod queue;
mod standing;
#[cfg(test)]
mod tests;

pub use confine::{Layer, Missing};
pub use helper::Setup;
pub use question::{Facts, Fault, NoFacts, Question};
pub use standing::Standing;

use queue::{Job, Queue};
use standing::Standings;

/// Helpers, and so questions that are answered at the same time.
pub const HELPERS: usize = 2;
/// Questions that may wait for a helper; the next one is refused at once.
const WAITING_MAX: usize = 64;
/// Longest any question may take.
pub const DEADLINE_MAX: Duration = Duration::from_secs(60);
/// Longest a question may take whose answer an execution waits for.
pub const EXECUTION_DEADLINE: Duration = Duration::from_millis(300);
/// Longest [`Sandbox::start`] waits for helpers to be at their post.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// The helpers of this process. Dropping it sends them away.
#[derive(Debug)]
pub struct Sandbox {
    queue: Arc<Queue>,
    standings: Arc<Standings>,
    health: Health,
}

impl Sandbox {
    /// Starts the helpers and waits until each is at its post or has failed once; what fails is tried again for as long as the sandbox
    /// stands. Blocks for as long as programs take to start: call it before anything is watched.
    #[must_use]
    pub fn start(health: Health) -> Self {
        Self::start_with(Setup::default(), health)
    }

    /// As [`Self::start`], with another program.
    #[must_use]
    pub fn start_with(setup: Setup, health: Health) -> Self {
        let queue = Arc::new(Queue::new(WAITING_MAX));
        let standings = Arc::new(Standings::default());
        for place in 0..HELPERS {
            keeper::keep(place, setup.clone(), Arc::clone(&queue), Arc::clone(&standings), health.clone());
        }
        standings.wait_for_all(START_DEADLINE);
        Self { queue, standings, health }
    }

    /// Has a helper read an open file, whose position stays where it is, and answer a question about it.
    ///
    /// # Errors
    /// [`NoFacts`], at the latest when `deadline` (capped at [`DEADLINE_MAX`]) is over: there is then no evidence for that reason, and
    /// nothing else follows.
    pub fn ask(&self, question: Question, file: &File, deadline: Duration) -> Result<Facts, NoFacts> {
        let due = Instant::now() + deadline.min(DEADLINE_MAX);
        let outcome = self.ask_until(question, file, due);
        if matches!(outcome, Err(NoFacts::NotInTime)) {
            self.health.note(FailureReason::SandboxTimeout);
        }
        outcome
    }

    fn ask_until(&self, question: Question, file: &File, due: Instant) -> Result<Facts, NoFacts> {
        if self.standings.is_nobody_there_before(due) {
            return Err(NoFacts::Unavailable);
        }
        let size = fstat(file).map_err(|_| NoFacts::Unreadable)?.st_size.cast_unsigned();
        let file = file.try_clone().map_err(|_| NoFacts::Unreadable)?;
        let (answer, answered) = sync_channel(1);
        self.queue.offer(Job { question, size, file, due, answer }).map_err(|_| NoFacts::Busy)?;
        match answered.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(NoFacts::NotInTime),
            Err(RecvTimeoutError::Disconnected) => Err(NoFacts::Unavailable),
        }
    }

    /// How the helpers are now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standings.now()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.queue.close();
    }
}
