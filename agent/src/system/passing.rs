//! Bytes over a unix socket together with at most one open file, in both directions.
//!
//! A descriptor that arrives is owned before anything else is looked at, so a hostile peer cannot make us leak: surplus ones
//! are closed at once.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Descriptors the kernel puts into one message at most (`SCM_MAX_FD`). Room for all of them: nix hides those of a message that
/// was cut short, which would leak them.
const DESCRIPTORS_MAX: usize = 253;

/// Sends `bytes`, the open file along with the first of them; returns how many bytes went out.
///
/// # Errors
/// As `sendmsg(2)`.
pub fn send(socket: &UnixStream, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let fds = file.map(|file| [file.as_raw_fd()]);
    let control: &[ControlMessage<'_>] = match &fds {
        Some(fds) => &[ControlMessage::ScmRights(fds)],
        None => &[],
    };
    Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Receives up to `buffer.len()` bytes and the open file that came with them, if any; 0 bytes mean that the peer is done.
///
/// # Errors
/// As `recvmsg(2)`; `WouldBlock` when the socket's read timeout ran out.
pub fn receive(socket: &UnixStream, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut first = None;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = part {
            for owned in fds.into_iter().map(own) {
                first.get_or_insert(owned);
            }
        }
    }
    Ok((message.bytes, first))
}

#[expect(unsafe_code, reason = "the kernel hands descriptors over as numbers")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: `recvmsg` installed this descriptor for us just now and reports it once; nothing else knows the number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_open_file_arrives_with_its_bytes() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        send(&ours, b"look\n", Some(file.as_fd())).unwrap();
        let mut buffer = [0; 64];
        let (length, passed) = receive(&theirs, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"look\n");
        let mut passed = File::from(passed.unwrap());
        passed.rewind().unwrap();
        let mut text = String::new();
        passed.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
    }

    #[test]
    fn surplus_descriptors_are_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let fds = [writer.as_raw_fd(); 4];
        sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"x")], &[ControlMessage::ScmRights(&fds)], MsgFlags::empty(), None).unwrap();
        drop(writer);
        let (_, first) = receive(&theirs, &mut [0; 8]).unwrap();
        drop(first);
        // Every copy of the writing end is closed once the reader sees the end of the pipe.
        let mut rest = Vec::new();
        (&reader).read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }

    #[test]
    fn as_many_as_the_kernel_takes_do_not_leak_either() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let fds = [writer.as_raw_fd(); DESCRIPTORS_MAX];
        sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"x")], &[ControlMessage::ScmRights(&fds)], MsgFlags::empty(), None).unwrap();
        drop(writer);
        drop(receive(&theirs, &mut [0; 8]).unwrap());
        let mut rest = Vec::new();
        (&reader).read_to_end(&mut rest).unwrap();
    }

    #[test]
    fn plain_bytes_bring_no_file_and_the_end_is_zero_bytes() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, b"abc", None).unwrap();
        drop(ours);
        let mut buffer = [0; 8];
        assert!(matches!(receive(&theirs, &mut buffer).unwrap(), (3, None)));
        assert!(matches!(receive(&theirs, &mut buffer).unwrap(), (0, None)));
    }
}
