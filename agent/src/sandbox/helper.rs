//! A helper's process, seen from the agent: started, asked, ended.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::PollTimeout;
use serde::{Deserialize, Serialize};

use super::frame::{self, FrameError};
use super::question::{ANSWER_BYTES_MAX, QUESTION_BYTES_MAX};
use super::{Facts, Fault, Missing, NoFacts, Question};
use crate::system::{inheritance, process};

/// Longest a helper is waited for until it is at its post.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// Longest an ended helper is waited for; whatever it read from may keep it in the kernel.
const END_DEADLINE_MS: u16 = 1_000;
/// Bytes in which a helper says how it stands.
const HELLO_BYTES_MAX: usize = 4096;

/// How helpers are started; the default is the daemon's way.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The agent's own program.
    pub program: PathBuf,
    /// What makes it a helper.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl Default for Setup {
    fn default() -> Self {
        // The link leads to the very file that runs, also when an upgrade has replaced it under its name.
        Self { program: PathBuf::from("/proc/self/exe"), arguments: vec!["sandbox".into()], environment: Vec::new() }
    }
}

/// What goes to the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) size: u64,
}

/// The helper's first words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) missing: Vec<Missing>,
}

/// A process that answers questions. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    process: OwnedFd,
    socket: UnixStream,
    missing: Vec<Missing>,
    asked_for: Duration,
}

impl Helper {
    /// Starts one and waits until it is confined and says so. The helper dies with the calling thread.
    ///
    /// # Errors
    /// It could not be started, or did not say in time how it stands.
    pub(super) fn start(setup: &Setup) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&setup.program);
        command.arg0("doorward-sandbox").args(&setup.arguments);
        command.env_clear().envs(setup.environment.iter().cloned()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        inheritance::give_only(&mut command, [OwnedFd::from(theirs)]);
        let mut child = command.spawn()?;
        // With it goes our copy of the helper's end, so that the helper's end is the socket's.
        drop(command);
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let Some(process) = process::open(pid) else {
            let error = io::Error::last_os_error();
            // Ours and not yet waited for, so the number cannot have passed to another process.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(error);
        };
        let mut helper = Self { child, process, socket, missing: Vec::new(), asked_for: Duration::ZERO };
        let due = Some(Instant::now() + START_DEADLINE);
        let (hello, _): (Hello, _) = frame::receive(&helper.socket, HELLO_BYTES_MAX, due)
            .map_err(|error| io::Error::other(format!("the helper did not come to its post: {error}")))?;
        helper.missing = hello.missing;
        Ok(helper)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Walls it does without.
    pub(super) fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// How long it has worked, which is at least the processor time it used.
    pub(super) const fn asked_for(&self) -> Duration {
        self.asked_for
    }

    pub(super) fn is_alive(&self) -> bool {
        process::is_alive(&self.process)
    }

    /// Asks one question.
    ///
    /// # Errors
    /// [`Unanswered::Unasked`] when the helper was gone before; otherwise why there is no answer, and whether the helper can go on.
    pub(super) fn ask(&mut self, asked: &Asked, file: &File, due: Instant) -> Result<Facts, Unanswered> {
        let started = Instant::now();
        let outcome = self.ask_until(asked, file, due);
        self.asked_for += started.elapsed();
        outcome
    }

    fn ask_until(&self, asked: &Asked, file: &File, due: Instant) -> Result<Facts, Unanswered> {
        match frame::send(&self.socket, asked, Some(file.as_fd()), QUESTION_BYTES_MAX, Some(due)) {
            Ok(()) => {}
            Err(FrameError::TooLong) => return Err(Unanswered::GoesOn(NoFacts::TooLong)),
            Err(FrameError::Gone) => return Err(Unanswered::Unasked),
            Err(FrameError::NotInTime) => return Err(Unanswered::Spoilt(NoFacts::NotInTime)),
            Err(FrameError::Malformed | FrameError::Io(_)) => return Err(Unanswered::Spoilt(NoFacts::Unreadable)),
        }
        match frame::receive::<Result<Facts, Fault>>(&self.socket, ANSWER_BYTES_MAX, Some(due)) {
            Ok((Ok(facts), _)) if asked.question.is_answered_by(&facts) => Ok(facts),
            Ok((Ok(_), _)) => Err(Unanswered::Spoilt(NoFacts::Nonsense)),
            Ok((Err(fault), _)) => Err(Unanswered::GoesOn(fault.into())),
            Err(FrameError::Gone) => Err(Unanswered::Lost),
            Err(FrameError::NotInTime) => Err(Unanswered::Spoilt(NoFacts::NotInTime)),
            Err(FrameError::TooLong | FrameError::Malformed | FrameError::Io(_)) => Err(Unanswered::Spoilt(NoFacts::Nonsense)),
        }
    }

    /// Ends the process and takes its status; true when it is gone. The signal that ended it is then known.
    pub(super) fn end(&mut self) -> Ended {
        // Already gone is as good.
        let _ = process::kill(&self.process);
        let _ = process::ends_within(&self.process, PollTimeout::from(END_DEADLINE_MS));
        self.ended()
    }

    /// How it ended, when it has; waits as [`Self::end`] does, since a closed socket comes a moment before.
    pub(super) fn ended_by_itself(&mut self) -> Ended {
        if process::ends_within(&self.process, PollTimeout::from(END_DEADLINE_MS)).unwrap_or(false) { self.ended() } else { self.end() }
    }

    fn ended(&mut self) -> Ended {
        match self.child.try_wait() {
            Ok(Some(status)) => Ended::By(status.signal()),
            _ => Ended::NotYet,
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By a signal, or by itself.
    By(Option<i32>),
    /// The kernel still keeps it, in the middle of reading.
    NotYet,
}

/// Why a question has no facts, and what that means for the helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The helper can go on.
    GoesOn(NoFacts),
    /// The helper has to be ended.
    Spoilt(NoFacts),
    /// The helper ended over this question.
    Lost,
    /// The helper had ended before.
    Unasked,
}
