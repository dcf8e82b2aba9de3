//! One peer on the socket: who it is by the kernel's word, its one request within a limit of bytes and time, and its answers.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::protocol::{Answer, REQUEST_BYTES_MAX, Refusal, RefusalCode, Request};
use crate::system::passing;

/// Longest a peer may take to send its request, in milliseconds.
const REQUEST_DEADLINE_MS: u64 = 5_000;
/// Longest one answer may take to be taken off our hands, in milliseconds.
const ANSWER_DEADLINE_MS: u64 = 10_000;
/// Bytes received at once.
const RECEIVE_BYTES: usize = 4096;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process that connected.
    pub pid: i32,
    /// Its effective user when it connected.
    pub uid: u32,
}

/// A peer that connected.
pub(super) struct Connection {
    stream: UnixStream,
    pub(super) peer: Peer,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let credentials = getsockopt(&stream, PeerCredentials)?;
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(Duration::from_millis(ANSWER_DEADLINE_MS)))?;
        Ok(Self { stream, peer: Peer { pid: credentials.pid(), uid: credentials.uid() } })
    }

    /// Receives the request and the open file that comes with it. A peer that drips bytes runs out of time like one that sends none.
    pub(super) fn request(&self) -> Result<(Request, Option<File>), Refusal> {
        let malformed = |what: &str| Refusal::new(RefusalCode::Malformed, what);
        let deadline = Instant::now() + Duration::from_millis(REQUEST_DEADLINE_MS);
        let mut line = Vec::new();
        let mut file = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(malformed("the request did not arrive in time"));
            }
            let mut buffer = [0; RECEIVE_BYTES];
            let received = self.stream.set_read_timeout(Some(left)).and_then(|()| passing::receive(&self.stream, &mut buffer));
            let (length, passed) = received.map_err(|_| malformed("the request did not arrive in time"))?;
            file = file.or(passed.map(File::from));
            line.extend_from_slice(&buffer[..length]);
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                line.truncate(end);
                break;
            }
            if length == 0 {
                return Err(malformed("the request ended before its newline"));
            }
            if line.len() >= REQUEST_BYTES_MAX {
                return Err(malformed("the request is too long"));
            }
        }
        let request: Request = serde_json::from_slice(&line).map_err(|error| malformed(&format!("not a request: {error}")))?;
        if request.is_for_root() && self.peer.uid != 0 {
            return Err(Refusal::new(RefusalCode::NotPermitted, "only root may ask this; use sudo"));
        }
        Ok((request, file))
    }

    /// Sends one answer. A peer that does not take it in time is left.
    pub(super) fn answer(&self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)
    }
}
