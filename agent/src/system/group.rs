//! A fanotify group and its events, each with the descriptor of the file and of the process.
//!
//! nix makes the group and its marks; events are read here because nix skips the information records and so leaks one pidfd
//! per event. Must stay cheap and free of side effects: the reader thread of `exec` calls [`Group::read`] and nothing waits in it.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use doorward_proto::uplink::CoverageKind;
use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response};

/// Bytes asked of the kernel in one read: 128 events with a pidfd record each, so one read installs at most
/// [`DESCRIPTORS_PER_READ_MAX`] descriptors.
const READ_BYTES_MAX: usize = 4096;
/// Descriptors one read can bring: two an event, of 24 bytes and a record of 8.
pub const DESCRIPTORS_PER_READ_MAX: u64 = 2 * (READ_BYTES_MAX / (METADATA_BYTES + 8)) as u64;
/// Length of `struct fanotify_event_metadata`, version 3.
const METADATA_BYTES: usize = 24;
/// `FAN_REPORT_FD_ERROR` of `<linux/fanotify.h>` (6.13), which nix lacks.
const FAN_REPORT_FD_ERROR: u32 = 0x2000;
/// Length of `struct fanotify_event_info_header`.
const INFO_HEADER_BYTES: usize = 4;

/// What went wrong with a group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The kernel refused the group: no CAP_SYS_ADMIN, no fanotify in the kernel, or too many groups.
    #[error("watching executions needs root (CAP_SYS_ADMIN) and fanotify in the kernel: {0}")]
    Init(#[source] Errno),
    /// Nobody would end this process if it stood still while it holds executions.
    #[error("executions are not held without a guard process, which could not be started: {0}")]
    Unguarded(#[source] std::io::Error),
    /// One filesystem could not be marked; the others are unaffected.
    #[error("cannot watch this filesystem: {0}")]
    Mark(#[source] Errno),
    /// The event descriptor or pidfd could not be made because the process or the system is out of descriptors.
    #[error("out of file descriptors while reading events: raise LimitNOFILE")]
    Descriptors,
    /// The kernel could not open one event's file for us and dropped the event.
    #[error("the kernel lost an event: {0}")]
    Lost(#[source] Errno),
    /// The group itself cannot be read any more.
    #[error("cannot read events: {0}")]
    Read(#[source] Errno),
    /// The kernel speaks another version of the event layout, or sent something that is not an event.
    #[error("the kernel sent an event this program cannot read ({0})")]
    Malformed(&'static str),
}

impl GroupError {
    /// Whether trying again soon is pointless: rights and kernels do not change by themselves.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::Init(Errno::EPERM | Errno::ENOSYS | Errno::EINVAL))
    }
}

/// One event. Owns its descriptors, so dropping it at any point leaks nothing.
#[derive(Debug)]
pub struct Event {
    /// What happened to the file.
    pub mask: MaskFlags,
    /// The file as it was opened for execution; reading through it raises no further event.
    pub file: Option<File>,
    /// Why the kernel could not open the file for us. In a permission group it has denied the execution then.
    pub file_error: Option<Errno>,
    /// Process (thread group) that acted; 0 when it lives in a pid namespace that cannot be seen from here.
    pub pid: i32,
    /// Descriptor of that process, `None` when it was gone before the event was read.
    pub process: Option<OwnedFd>,
}

impl Event {
    /// The file was opened in order to be executed; else it was only opened.
    #[must_use]
    pub fn is_execution(&self) -> bool {
        self.mask.intersects(MaskFlags::FAN_OPEN_EXEC | MaskFlags::FAN_OPEN_EXEC_PERM)
    }

    /// The file was opened, for whatever purpose.
    #[must_use]
    pub fn is_use(&self) -> bool {
        self.is_execution() || self.mask.intersects(MaskFlags::FAN_OPEN | MaskFlags::FAN_OPEN_PERM)
    }

    /// The kernel waits for an answer.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.mask.intersects(MaskFlags::FAN_OPEN_EXEC_PERM | MaskFlags::FAN_OPEN_PERM)
    }

    /// The queue was full and events were lost.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.mask.contains(MaskFlags::FAN_Q_OVERFLOW)
    }
}

/// Bytes of one read, reused from call to call. The layout is decoded byte by byte, so no alignment is asked of it.
#[derive(Debug)]
pub struct EventBuffer(Box<[u8]>);

impl EventBuffer {
    /// Events one read can bring at most.
    pub const EVENTS_MAX: usize = READ_BYTES_MAX / METADATA_BYTES;
}

impl Default for EventBuffer {
    fn default() -> Self {
        Self(vec![0; READ_BYTES_MAX].into_boxed_slice())
    }
}

/// What the kernel is told about an execution it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It goes on.
    Allow,
    /// It fails with EPERM.
    Deny,
}

/// What a group may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Hears of executions and can neither delay nor deny them.
    Notification,
    /// Is asked about every execution, which waits for the answer.
    Permission,
}

/// What the kernel is asked to be quiet about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// Everything the group asks for.
    Everything,
    /// Opens other than for execution.
    Opens,
}

/// A fanotify group. Closing it lets everything go that still waits for an answer, read or not.
#[derive(Debug)]
pub struct Group {
    fanotify: Fanotify,
    class: Class,
    coverage: CoverageKind,
}

impl Group {
    /// Makes a group. Its queue is unlimited, so that nothing is lost, or let through unseen, while the reader lives.
    ///
    /// # Errors
    /// [`GroupError::Init`] with the kernel's reason; EPERM without CAP_SYS_ADMIN.
    pub fn new(class: Class, coverage: CoverageKind) -> Result<Self, GroupError> {
        let class_flag = match class {
            Class::Notification => InitFlags::FAN_CLASS_NOTIF,
            Class::Permission => InitFlags::FAN_CLASS_CONTENT,
        };
        let flags = class_flag
            | InitFlags::FAN_CLOEXEC
            | InitFlags::FAN_NONBLOCK
            | InitFlags::FAN_REPORT_PIDFD
            | InitFlags::FAN_UNLIMITED_QUEUE
            | InitFlags::FAN_UNLIMITED_MARKS;
        // SECURITY: without O_NONBLOCK, whoever holds a write lease on a file of his own, or opened it so that the kernel waits,
        // would hold the reader inside its own `read`, and with it every execution.
        let events =
            EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC | EventFFlags::O_NOATIME | EventFFlags::O_NONBLOCK;
        let fanotify = match Fanotify::init(flags | InitFlags::from_bits_retain(FAN_REPORT_FD_ERROR), events) {
            // A kernel that does not know how to tell of an event whose file it could not open: `read` then fails with the reason.
            Err(Errno::EINVAL) => Fanotify::init(flags, events),
            outcome => outcome,
        };
        Ok(Self { fanotify: fanotify.map_err(GroupError::Init)?, class, coverage })
    }

    /// What it may do.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Answers the execution or open whose event brought `file`. The kernel knows events by their descriptors, so the file must be open
    /// until then, and each is answered once.
    ///
    /// # Errors
    /// The kernel's; the execution still waits.
    pub fn answer(&self, file: BorrowedFd<'_>, answer: Answer) -> Result<(), Errno> {
        let response = match answer {
            Answer::Allow => Response::FAN_ALLOW,
            Answer::Deny => Response::FAN_DENY,
        };
        self.fanotify.write_response(FanotifyResponse::new(file, response))
    }

    /// Asks for every execution, and every open where that is covered, on the whole filesystem that `folder` lies on, through whatever mount it happens. The folder
    /// is open already (O_PATH will do), so that nothing mounted over its name a moment ago can take its place.
    ///
    /// # Errors
    /// [`GroupError::Mark`]; the filesystem stays unwatched.
    pub fn watch_filesystem_of(&self, folder: BorrowedFd<'_>) -> Result<(), GroupError> {
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
        self.fanotify.mark(flags, self.asked(), nix::fcntl::AT_FDCWD, Some(folder.as_str())).map_err(GroupError::Mark)
    }

    /// Whether the whole file system that an open file lies on is watched already; O_PATH will do, and nothing is asked of the file
    /// system. The kernel's own word: it is never out of date.
    ///
    /// # Errors
    /// The kernel's, for file systems that cannot be marked, those of memory files among them.
    pub fn watches_filesystem_of(&self, file: BorrowedFd<'_>) -> Result<bool, Errno> {
        self.watches_filesystem_at(&format!("/proc/self/fd/{}", file.as_raw_fd()))
    }

    /// As [`Group::watches_filesystem_of`], for what a path leads to now.
    ///
    /// # Errors
    /// Likewise, and those of following the path.
    pub fn watches_filesystem_at(&self, path: &str) -> Result<bool, Errno> {
        // Taking away what no such mark has changes nothing, and fails where there is no mark.
        let flags = MarkFlags::FAN_MARK_REMOVE | MarkFlags::FAN_MARK_FILESYSTEM;
        match self.fanotify.mark(flags, MaskFlags::FAN_CLOSE_WRITE, nix::fcntl::AT_FDCWD, Some(path)) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks not to be told of this file any more, until somebody closes it after writing, it is changed by any other
    /// means the kernel sees, memory runs short, or [`Group::tell_all`]. Stores through a shared mapping are none of these until
    /// the mapping is gone: only for files that nobody but root may write.
    ///
    /// # Errors
    /// The kernel's (too old for evictable marks, among others); executions are told of as before.
    pub fn ignore(&self, file: BorrowedFd<'_>, quiet: Quiet) -> Result<(), Errno> {
        let evictable = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_EVICTABLE;
        let ignored = evictable | MarkFlags::FAN_MARK_IGNORED_MASK;
        self.fanotify.mark(evictable, MaskFlags::FAN_CLOSE_WRITE, file, None::<&str>)?;
        let mask = match quiet {
            Quiet::Everything => self.asked(),
            Quiet::Opens => self.opens(),
        };
        self.fanotify.mark(ignored, mask, file, None::<&str>)
    }

    /// Takes back [`Group::ignore`] for one file; nothing happens when it was taken back already.
    ///
    /// # Errors
    /// The kernel's.
    pub fn tell(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let removed = |flags, mask| match self.fanotify.mark(MarkFlags::FAN_MARK_REMOVE | flags, mask, file, None::<&str>) {
            Err(Errno::ENOENT) => Ok(()),
            outcome => outcome,
        };
        removed(MarkFlags::FAN_MARK_IGNORED_MASK, self.asked())?;
        removed(MarkFlags::empty(), MaskFlags::FAN_CLOSE_WRITE)
    }

    /// Takes back every [`Group::ignore`].
    ///
    /// # Errors
    /// The kernel's; then the group has to be made anew.
    pub fn tell_all(&self) -> Result<(), Errno> {
        self.fanotify.mark(MarkFlags::FAN_MARK_FLUSH, MaskFlags::empty(), nix::fcntl::AT_FDCWD, Some("/"))
    }

    fn asked(&self) -> MaskFlags {
        let executions = match self.class {
            Class::Notification => MaskFlags::FAN_OPEN_EXEC,
            Class::Permission => MaskFlags::FAN_OPEN_EXEC_PERM,
        };
        match self.coverage {
            CoverageKind::Exec => executions,
            CoverageKind::ExecAndOpen => executions | self.opens(),
        }
    }

    const fn opens(&self) -> MaskFlags {
        match self.class {
            Class::Notification => MaskFlags::FAN_OPEN,
            Class::Permission => MaskFlags::FAN_OPEN_PERM,
        }
    }

    /// Reads what is there into `events` without waiting; returns how many were added. To be called when the group is readable:
    /// "nothing there" then means that the kernel could not open an event's file without waiting.
    ///
    /// # Errors
    /// [`GroupError::Descriptors`] when the limit is reached: the event is lost to us, and in a permission group the kernel has
    /// denied that execution. Otherwise as named.
    pub fn read(&self, buffer: &mut EventBuffer, events: &mut Vec<Event>) -> Result<usize, GroupError> {
        match nix::unistd::read(&self.fanotify, &mut buffer.0) {
            Ok(length) => decode(&buffer.0[..length], events),
            Err(Errno::EINTR) => Ok(0),
            Err(Errno::EMFILE | Errno::ENFILE) => Err(GroupError::Descriptors),
            Err(error @ (Errno::EBADF | Errno::EINVAL | Errno::EFAULT)) => Err(GroupError::Read(error)),
            Err(error) => Err(GroupError::Lost(error)),
        }
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fanotify.as_fd()
    }
}

/// Decodes one read's worth of events. Stops at the first thing it does not understand; what came before is kept.
fn decode(mut bytes: &[u8], events: &mut Vec<Event>) -> Result<usize, GroupError> {
    let before = events.len();
    while !bytes.is_empty() {
        let length = usize::try_from(word(bytes, 0).ok_or(GroupError::Malformed("cut short"))?).unwrap_or(usize::MAX);
        let event = bytes.get(..length).filter(|event| event.len() >= METADATA_BYTES);
        let event = event.ok_or(GroupError::Malformed("event length"))?;
        events.push(decode_event(event)?);
        bytes = &bytes[length..];
    }
    Ok(events.len() - before)
}

/// `event` is at least [`METADATA_BYTES`] long: `event_len u32, vers u8, reserved u8, metadata_len u16, mask u64, fd i32, pid i32`,
/// then information records.
fn decode_event(event: &[u8]) -> Result<Event, GroupError> {
    if event[4] != libc::FANOTIFY_METADATA_VERSION {
        return Err(GroupError::Malformed("metadata version"));
    }
    let metadata_length = usize::from(u16::from_ne_bytes([event[6], event[7]]));
    let mut mask = [0; 8];
    mask.copy_from_slice(&event[8..16]);
    let fd = signed_word(event, 16).unwrap_or(libc::FAN_NOFD);
    let pid = signed_word(event, 20).unwrap_or(0);
    let records = event.get(metadata_length.max(METADATA_BYTES)..).ok_or(GroupError::Malformed("metadata length"))?;
    Ok(Event {
        mask: MaskFlags::from_bits_retain(u64::from_ne_bytes(mask)),
        file: own(fd).map(File::from),
        file_error: (fd < libc::FAN_NOFD).then(|| Errno::from_raw(fd.saturating_neg())),
        pid,
        process: pidfd_of(records).and_then(own),
    })
}

/// Finds the pidfd among an event's information records: `info_type u8, pad u8, len u16, pidfd i32`.
fn pidfd_of(mut records: &[u8]) -> Option<RawFd> {
    while records.len() >= INFO_HEADER_BYTES {
        let length = usize::from(u16::from_ne_bytes([records[2], records[3]]));
        let record = records.get(..length).filter(|record| record.len() >= INFO_HEADER_BYTES)?;
        if record[0] == libc::FAN_EVENT_INFO_TYPE_PIDFD {
            return signed_word(record, INFO_HEADER_BYTES);
        }
        records = &records[length..];
    }
    None
}

#[expect(unsafe_code, reason = "the kernel hands descriptors over as numbers")]
fn own(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: the numbers come from one `read` of the group, which installed each non-negative one for this process just now
    // and reports it once; nothing else knows it, so it is ours to close. Negative ones (FAN_NOFD, FAN_NOPIDFD, FAN_EPIDFD) are not descriptors.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn signed_word(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4)?.try_into().ok().map(i32::from_ne_bytes)
}

#[cfg(test)]
mod tests;
