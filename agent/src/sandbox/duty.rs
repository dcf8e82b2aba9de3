//! The helper's own process, from its first instruction to its last: it confines itself, says how that went, and answers one question
//! after another until the agent is gone.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe};

use super::confine::{self, Layer};
use super::frame::{self, FrameError};
use super::helper::{Asked, Hello};
use super::question::{ANSWER_BYTES_MAX, QUESTION_BYTES_MAX};
use super::{Facts, Fault, parse};
use crate::system::inheritance;

/// Serves the agent over the socket this process inherited, until the agent closes it.
///
/// # Errors
/// `InvalidInput` when nothing was inherited: helpers are started by the agent and by nobody else. Otherwise why it cannot be confined
/// at all, or the socket's failure.
pub fn serve() -> io::Result<()> {
    serve_without(&[])
}

/// As [`serve`], without some of the walls, so that a test can see what the others hold.
pub(super) fn serve_without(left_out: &[Layer]) -> io::Result<()> {
    let [socket] = inheritance::take()?;
    let socket = UnixStream::from(socket);
    // A defect is told to the agent, and there is nowhere to write to.
    panic::set_hook(Box::new(|_| {}));
    let missing = confine::confine(left_out)?;
    frame::send(&socket, &Hello { missing }, None, ANSWER_BYTES_MAX, None).map_err(io::Error::other)?;
    loop {
        match frame::receive::<Asked>(&socket, QUESTION_BYTES_MAX, None) {
            #[cfg(test)]
            Ok((Asked { question: super::Question::Attempt(super::tests::Attempt::Babble), .. }, _)) => {
                frame::send(&socket, &[u8::MAX; 32], None, ANSWER_BYTES_MAX, None).map_err(io::Error::other)?;
            }
            Ok((asked, file)) => reply(&socket, &answer(&asked, file.map(File::from)))?,
            Err(FrameError::Gone) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

fn answer(asked: &Asked, file: Option<File>) -> Result<Facts, Fault> {
    let file = file.ok_or(Fault::Unreadable)?;
    // The parser keeps nothing from one question to the next, so nothing half-done is left behind.
    panic::catch_unwind(AssertUnwindSafe(|| parse::answer(&asked.question, &file, asked.size))).unwrap_or(Err(Fault::Defect))
}

fn reply(socket: &UnixStream, answer: &Result<Facts, Fault>) -> io::Result<()> {
    match frame::send(socket, answer, None, ANSWER_BYTES_MAX, None) {
        Err(FrameError::TooLong) => reply(socket, &Err(Fault::TooLong)),
        outcome => outcome.map_err(io::Error::other),
    }
}
