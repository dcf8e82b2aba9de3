//! A command that did not do what was asked: what happened, why, what to do next, and the exit code scripts rely on (sysexits).

use std::fmt;
use std::io;
use std::path::Path;

use doorward_service::Exit;

use super::terminal::shown;
use crate::api::Problem;

/// Why a command ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    what: String,
    next: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: None }
    }

    /// Adds what the person can do.
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The configuration is wrong.
    pub(super) fn config(error: &impl fmt::Display) -> Self {
        Self::new(Exit::Config, error.to_string()).next("`doorward-cms check-config` tells when it is right")
    }

    /// The server does not answer on its socket, or not to us.
    pub(super) fn unreachable(socket: &Path, error: &(dyn std::error::Error + 'static)) -> Self {
        let socket = socket.display();
        let cause = io_cause(error);
        match cause.map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => Self::new(Exit::NoPermission, format!("may not open the server's socket {socket}"))
                .next("run the command as root, or as the user the server runs as"),
            Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Self::new(Exit::Unavailable, format!("no server answers on {socket}"))
                    .next("start it with `doorward-cms serve`, or name its socket with --socket or its configuration with --config")
            }
            _ => Self::new(Exit::Unavailable, format!("the server on {socket} did not answer: {}", chain(error)))
                .next("look at its log; if it does not run, start it with `doorward-cms serve`"),
        }
    }

    /// What came back is not what this program reads.
    pub(super) fn answer(error: impl fmt::Display) -> Self {
        Self::new(Exit::Software, format!("the server's answer is not understood: {error}"))
            .next("the command and the server may be of different versions: compare `doorward-cms --version` with the server's log")
    }

    /// Standard output cannot be written.
    pub(super) fn output(error: &io::Error) -> Self {
        Self::new(Exit::Io, format!("cannot write the outcome: {error}"))
    }
}

/// The server's refusal, with the exit code its status stands for.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = match problem.status {
            403 => Exit::NoPermission,
            400 | 405 | 413 | 415 | 422 => Exit::Usage,
            503 | 504 => Exit::Temporary,
            500..=599 => Exit::Software,
            _ => Exit::Failure,
        };
        Self::new(exit, problem.detail)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "doorward-cms: {}", shown(&self.what))?;
        match &self.next {
            Some(next) => write!(f, "\n  {}", shown(next)),
            None => Ok(()),
        }
    }
}

/// The kernel's word at the bottom of an error.
fn io_cause<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
