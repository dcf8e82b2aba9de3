//! Asks the running daemon. Used by the command line only; everything waits with a deadline.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_service::Exit;

use super::protocol::{ANSWER_BYTES_MAX, Answer, Refusal, RefusalCode, Request, ScanCounts};
use crate::system::passing;

/// Longest silence of the daemon before it counts as not answering, in milliseconds. `why` may have to read a large file first.
const ANSWER_DEADLINE_MS: u64 = 150_000;
/// Longest the daemon may take to take the request, in milliseconds.
const REQUEST_DEADLINE_MS: u64 = 10_000;

/// Why the daemon gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no doorward-agent answers on {}: {source}; is `doorward-agent run` running?", socket.display())]
    NoDaemon {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The daemon went away or does not speak our language.
    #[error("the doorward-agent on {} gave no answer that can be understood: {reason}", socket.display())]
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// What came instead.
        reason: String,
    },
    /// The daemon answered no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl ClientError {
    /// Whether there is no daemon to ask, so that a command may try without one.
    #[must_use]
    pub const fn is_nobody_there(&self) -> bool {
        matches!(self, Self::NoDaemon { .. })
    }

    /// The exit code of a command that could not do without the answer.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoDaemon { .. } | Self::NoAnswer { .. } => Exit::Unavailable,
            Self::Refused(refusal) => match refusal.code {
                RefusalCode::Malformed => Exit::Software,
                RefusalCode::NotPermitted => Exit::NoPermission,
                RefusalCode::Busy => Exit::Temporary,
                RefusalCode::Unreadable => Exit::Data,
                RefusalCode::Failed => Exit::Failure,
            },
        }
    }
}

/// Sends one request, with an open file if it needs one, and waits for the answer. Progress on the way goes to `progress`.
///
/// # Errors
/// [`ClientError`]; a refusal by the daemon is one.
pub fn ask(
    socket: &Path,
    request: &Request,
    file: Option<BorrowedFd<'_>>,
    progress: &mut dyn FnMut(ScanCounts),
) -> Result<Answer, ClientError> {
    let no_answer = |reason: String| ClientError::NoAnswer { socket: socket.to_owned(), reason };
    let stream = UnixStream::connect(socket).map_err(|source| ClientError::NoDaemon { socket: socket.to_owned(), source })?;
    // A daemon that refuses before it has read the request closes its end; what it said is there to be read all the same.
    let sent = send(&stream, request, file);
    let mut answers = BufReader::new(&stream);
    loop {
        let mut line = Vec::new();
        let length =
            (&mut answers).take(ANSWER_BYTES_MAX as u64).read_until(b'\n', &mut line).map_err(|error| no_answer(error.to_string()))?;
        if length == 0 {
            return Err(no_answer(sent.err().map_or_else(|| "it closed the connection".to_owned(), |error| error.to_string())));
        }
        match serde_json::from_slice(&line).map_err(|error| no_answer(error.to_string()))? {
            Answer::Progress(counts) => progress(counts),
            Answer::Error(refusal) => return Err(refusal.into()),
            answer => return Ok(answer),
        }
    }
}

fn send(stream: &UnixStream, request: &Request, file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_millis(REQUEST_DEADLINE_MS)))?;
    stream.set_read_timeout(Some(Duration::from_millis(ANSWER_DEADLINE_MS)))?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
    line.push(b'\n');
    let mut sent = passing::send(stream, &line, file)?;
    while sent < line.len() {
        sent += passing::send(stream, &line[sent..], None)?;
    }
    Ok(())
}
