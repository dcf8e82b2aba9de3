//! Frames over the socket: four bytes of length, then as many bytes of postcard. Neither side takes more than the limit, whatever the
//! length says, and the agent never waits past a deadline.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::system::passing;

const LENGTH_BYTES: usize = 4;
/// Received at a time; nearly every frame is shorter.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a frame did not go through.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The deadline passed.
    #[error("not in time")]
    NotInTime,
    /// The other side is gone.
    #[error("the other side is gone")]
    Gone,
    /// Longer than the limit; when sending, nothing was sent.
    #[error("a frame is too long")]
    TooLong,
    /// The bytes are no frame of this kind.
    #[error("a frame is malformed")]
    Malformed,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::NotInTime,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Io(error),
        }
    }
}

/// Sends a value of at most `max` bytes, and an open file along with it.
pub(super) fn send(
    socket: &UnixStream,
    value: &impl Serialize,
    file: Option<BorrowedFd<'_>>,
    max: usize,
    due: Option<Instant>,
) -> Result<(), FrameError> {
    let mut frame = postcard::to_extend(value, vec![0; LENGTH_BYTES]).map_err(|_| FrameError::Malformed)?;
    let length = frame.len() - LENGTH_BYTES;
    if length > max {
        return Err(FrameError::TooLong);
    }
    frame[..LENGTH_BYTES].copy_from_slice(&u32::try_from(length).map_err(|_| FrameError::TooLong)?.to_le_bytes());
    let (mut sent, mut file) = (0, file);
    while sent < frame.len() {
        if due.is_some() {
            socket.set_write_timeout(Some(left(due)?))?;
        }
        match passing::send(socket, &frame[sent..], file) {
            Ok(count) => {
                sent += count;
                file = None;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives a value of at most `max` bytes and the open file that came with it.
pub(super) fn receive<T: DeserializeOwned>(
    socket: &UnixStream,
    max: usize,
    due: Option<Instant>,
) -> Result<(T, Option<OwnedFd>), FrameError> {
    let mut frame = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut file = None;
    loop {
        if let Some(length) = frame.first_chunk::<LENGTH_BYTES>().map(|bytes| u32::from_le_bytes(*bytes) as usize) {
            if length > max {
                return Err(FrameError::TooLong);
            }
            let body = &frame[LENGTH_BYTES..];
            // One question at a time: whatever follows was not asked for.
            if body.len() > length {
                return Err(FrameError::Malformed);
            }
            if body.len() == length {
                return postcard::from_bytes(body).map(|value| (value, file)).map_err(|_| FrameError::Malformed);
            }
        }
        if due.is_some() {
            socket.set_read_timeout(Some(left(due)?))?;
        }
        match passing::receive(socket, &mut chunk) {
            Ok((0, _)) => return Err(FrameError::Gone),
            Ok((count, passed)) => {
                frame.extend_from_slice(&chunk[..count]);
                file = file.or(passed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Time until then, never 0, which a socket takes for no limit at all.
fn left(due: Option<Instant>) -> Result<std::time::Duration, FrameError> {
    let left = due.unwrap_or_else(Instant::now).saturating_duration_since(Instant::now());
    if left.is_zero() { Err(FrameError::NotInTime) } else { Ok(left.max(std::time::Duration::from_micros(1))) }
}
