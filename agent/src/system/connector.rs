//! The kernel's process events: every execution on the host, whatever file system its program lies on, told once it has begun.
//!
//! Format: `<linux/connector.h>` and `<linux/cn_proc.h>`. Only the kernel can send on this family; whatever else arrives is passed over.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, NetlinkAddr, bind, recvfrom, send, setsockopt, sockopt};

/// `CN_IDX_PROC` and `CN_VAL_PROC`, and the multicast group of the first.
const PROC: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;
/// `PROC_CN_MCAST_IGNORE`.
const IGNORE: u32 = 2;
/// `PROC_EVENT_NONE`: the answer to a request.
const ANSWER: u32 = 0;
/// `PROC_EVENT_EXEC`.
const EXECUTED: u32 = 2;
/// `struct nlmsghdr` and behind it `struct cn_msg`.
const HEADERS_BYTES: usize = NETLINK_BYTES + CONNECTOR_BYTES;
const NETLINK_BYTES: usize = 16;
const CONNECTOR_BYTES: usize = 20;
/// The largest event is far smaller.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Bytes of events the kernel keeps for us; some 10,000 executions.
const QUEUE_BYTES: usize = 8 << 20;
/// Longest the kernel's answer to a request is waited for, in milliseconds; it comes before the request returns.
const ANSWER_DEADLINE_MS: u16 = 1_000;
/// Messages passed over while waiting for it; of a busy host's, which come as soon as somebody else listens too.
const ANSWER_MESSAGES_MAX: usize = 65_536;

/// A process that executed a program a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executed {
    /// Its number, of the whole process and not of a thread.
    pub pid: i32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
}

/// Why events are not told.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// No root, no CAP_NET_ADMIN, no CONFIG_PROC_EVENTS, or another network namespace than the host's.
    #[error("the kernel tells no process events; that takes CAP_NET_ADMIN, CONFIG_PROC_EVENTS and the host's own network namespace: {0}")]
    Unavailable(#[source] Errno),
    /// More happened than was taken in time; events are missing from here on.
    #[error("process events were lost")]
    Lost,
    /// The socket itself fails.
    #[error("cannot read process events: {0}")]
    Read(#[source] Errno),
}

/// A subscription; ended when dropped.
#[derive(Debug)]
pub struct Connector(OwnedFd);

impl Connector {
    /// Asks for executions from now on.
    ///
    /// # Errors
    /// [`ConnectorError::Unavailable`].
    pub fn listen() -> Result<Self, ConnectorError> {
        let connector = Self(socket().map_err(ConnectorError::Unavailable)?);
        connector.subscribe().map_err(ConnectorError::Unavailable)?;
        Ok(connector)
    }

    fn subscribe(&self) -> Result<(), Errno> {
        bind(self.0.as_raw_fd(), &NetlinkAddr::new(0, PROC))?;
        // Beyond what ordinary programs may ask for; with less, events are lost a little sooner, which is noticed.
        let _ = setsockopt(&self.0, sockopt::RcvBufForce, &QUEUE_BYTES);
        // Every kernel understands the first; one that knows filters (6.6) takes the second for its narrower form, older ones pass it over.
        self.ask(&LISTEN.to_ne_bytes())?;
        self.wait_for_answer()?;
        self.ask([LISTEN.to_ne_bytes(), EXECUTED.to_ne_bytes()].as_flattened())
    }

    fn ask(&self, request: &[u8]) -> Result<(), Errno> {
        let length = u32::try_from(HEADERS_BYTES + request.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADERS_BYTES + request.len());
        message.extend(length.to_ne_bytes());
        message.extend((libc::NLMSG_DONE as u16).to_ne_bytes());
        // Flags, sequence and port, then the connector's own sequence and acknowledgement: all of no interest.
        message.extend([0; NETLINK_BYTES - 6]);
        message.extend(PROC.to_ne_bytes());
        message.extend(PROC.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(u16::try_from(request.len()).unwrap_or(u16::MAX).to_ne_bytes());
        message.extend([0; 2]);
        message.extend(request);
        send(self.0.as_raw_fd(), &message, MsgFlags::empty()).map(drop)
    }

    /// A kernel that does not want to answer says nothing at all.
    fn wait_for_answer(&self) -> Result<(), Errno> {
        for _ in 0..ANSWER_MESSAGES_MAX {
            if poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], PollTimeout::from(ANSWER_DEADLINE_MS))? == 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            match self.receive() {
                Ok(Some(Told::Answer(0))) => return Ok(()),
                Ok(Some(Told::Answer(error))) => return Err(Errno::from_raw(error.cast_signed())),
                Ok(_) | Err(Errno::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EOPNOTSUPP)
    }

    /// The next execution that was told, without waiting for one; `None` when there is none.
    ///
    /// # Errors
    /// [`ConnectorError::Lost`], after which reading goes on with what came later, or [`ConnectorError::Read`].
    pub fn read(&self) -> Result<Option<Executed>, ConnectorError> {
        loop {
            match self.receive() {
                Ok(Some(Told::Executed(executed))) => return Ok(Some(executed)),
                Ok(Some(Told::Answer(_) | Told::Other)) | Err(Errno::EINTR) => {}
                Ok(None) => return Ok(None),
                Err(Errno::ENOBUFS) => return Err(ConnectorError::Lost),
                Err(error) => return Err(ConnectorError::Read(error)),
            }
        }
    }

    /// One message; `None` when there is none.
    fn receive(&self) -> Result<Option<Told>, Errno> {
        let mut message = [0; MESSAGE_BYTES_MAX];
        match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), &mut message) {
            // SECURITY: port 0 is the kernel's.
            Ok((length, Some(sender))) if sender.pid() == 0 => Ok(Some(Told::parse(&message[..length]))),
            Ok(_) => Ok(Some(Told::Other)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Connector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // Older kernels go on counting a listener that is gone.
        let _ = self.ask(&IGNORE.to_ne_bytes());
    }
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// To a request: 0, or the number of an error.
    Answer(u32),
    Executed(Executed),
    Other,
}

impl Told {
    /// Behind the headers: `what u32, cpu u32, timestamp_ns u64`, then for an execution the numbers of thread and process, for an
    /// answer that of the error.
    fn parse(message: &[u8]) -> Self {
        let word = |at: usize| message.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes);
        let event = HEADERS_BYTES;
        let is_proc = word(NETLINK_BYTES) == Some(PROC) && word(NETLINK_BYTES + 4) == Some(PROC);
        let at_ns = message.get(event + 8..event + 16).and_then(|at| at.try_into().ok()).map(u64::from_ne_bytes);
        match (word(event), word(event + 16), word(event + 20), at_ns) {
            (Some(ANSWER), Some(error), ..) if is_proc => Self::Answer(error),
            (Some(EXECUTED), _, Some(pid), Some(at_ns)) if is_proc => Self::Executed(Executed { pid: pid.cast_signed(), at_ns }),
            _ => Self::Other,
        }
    }
}

#[expect(unsafe_code, reason = "nix does not know this family's protocol")]
fn socket() -> Result<OwnedFd, Errno> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `socket(2)` takes three integers and touches no memory of ours.
    let socket = Errno::result(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_CONNECTOR) })?;
    // SAFETY: the call above succeeded and returned a descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn our_own_child_is_told() {
        let connector = match Connector::listen() {
            Ok(connector) => connector,
            Err(error) => return eprintln!("SKIPPED: a test of process events, because {error}"),
        };
        let before_ns = monotonic_ns();
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let pid = child.id().cast_signed();
        child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            assert!(Instant::now() < deadline, "nothing was told of process {pid}");
            match connector.read() {
                Ok(Some(executed)) if executed.pid == pid => {
                    assert!((before_ns..=monotonic_ns()).contains(&executed.at_ns));
                    return;
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(_) | Err(ConnectorError::Lost) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn monotonic_ns() -> u64 {
        use nix::time::{ClockId, clock_gettime};
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).unwrap()
    }

    /// An event of the kernel, as it lies in memory.
    fn message(what: u32, data: &[u32]) -> Vec<u8> {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
        [words(&[0; 4]), words(&[PROC, PROC, 0, 0, 0]), words(&[what, 3]), 77_u64.to_ne_bytes().to_vec(), words(data)].concat()
    }

    #[test]
    fn messages_are_told_apart() {
        assert_eq!(Told::parse(&message(EXECUTED, &[12, 11])), Told::Executed(Executed { pid: 11, at_ns: 77 }));
        assert_eq!(Told::parse(&message(ANSWER, &[libc::EPERM.cast_unsigned()])), Told::Answer(1));
        assert_eq!(Told::parse(&message(1, &[12, 11])), Told::Other, "a fork");
        let whole = message(EXECUTED, &[12, 11]);
        for length in 0..whole.len() {
            assert_eq!(Told::parse(&whole[..length]), Told::Other, "cut to {length} bytes");
        }
        let mut foreign = whole;
        foreign[NETLINK_BYTES] ^= 2;
        assert_eq!(Told::parse(&foreign), Told::Other, "of another connector");
    }
}
