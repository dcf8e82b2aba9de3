//! The thread that takes events from the kernel. It may read, look at memory, and enqueue; it never logs, opens, waits for a lock
//! that is held across I/O, or awaits. What does not fit the queue is counted and let go, its descriptors closed.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use doorward_service::Clock;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;

use super::Counters;
use super::queue::Queue;
use crate::health::{FailureReason, Health, Pulse};
use crate::system::group::{Event, EventBuffer, Group, GroupError};

/// Token of the group's descriptor in epoll.
const GROUP: u64 = 1;
/// Token of the descriptor that asks the reader to end.
const STOP: u64 = 2;

/// An execution as the kernel told of it, owned by the queue and then by whoever takes it.
#[derive(Debug)]
pub(super) struct Sighting {
    /// The file, open for reading.
    pub(super) file: File,
    /// Process that executed it.
    pub(super) pid: i32,
    /// Descriptor of that process; `None` when it was gone already.
    pub(super) process: Option<OwnedFd>,
    /// Microseconds since 1970, UTC.
    pub(super) observed_at: i64,
}

/// What the reader works with.
pub(super) struct Reader {
    pub(super) group: Arc<Group>,
    pub(super) stop: Arc<EventFd>,
    pub(super) queue: Arc<Queue<Sighting>>,
    pub(super) counters: Arc<Counters>,
    pub(super) health: Health,
    pub(super) pulse: Pulse,
    pub(super) clock: Clock,
    /// This process's own executions are never judged.
    pub(super) own_pid: i32,
}

impl Reader {
    /// Reads until asked to stop.
    ///
    /// # Errors
    /// [`GroupError`] when the group has to be made anew.
    pub(super) fn run(&self) -> Result<(), GroupError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(GroupError::Read)?;
        epoll.add(&*self.group, EpollEvent::new(EpollFlags::EPOLLIN, GROUP)).map_err(GroupError::Read)?;
        epoll.add(&*self.stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP)).map_err(GroupError::Read)?;
        let mut buffer = EventBuffer::default();
        let mut events = Vec::with_capacity(EventBuffer::EVENTS_MAX);
        loop {
            self.pulse.idle();
            let mut ready = [EpollEvent::empty(); 2];
            let count = match epoll.wait(&mut ready, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(GroupError::Read(error)),
            };
            if ready[..count].iter().any(|event| event.data() == STOP) {
                return Ok(());
            }
            self.pulse.beat(super::monotonic_ms());
            self.read_once(&mut buffer, &mut events)?;
        }
    }

    fn read_once(&self, buffer: &mut EventBuffer, events: &mut Vec<Event>) -> Result<(), GroupError> {
        let outcome = self.group.read(buffer, events);
        let observed_at = self.clock.now_micros();
        for event in events.drain(..) {
            self.pass_on(event, observed_at);
        }
        match outcome {
            Ok(_) => Ok(()),
            Err(GroupError::Descriptors) => {
                self.health.note(FailureReason::DescriptorsExhausted);
                Ok(())
            }
            Err(GroupError::Lost(_)) => {
                self.health.note(FailureReason::EventsLost);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn pass_on(&self, event: Event, observed_at: i64) {
        if event.is_overflow() {
            self.health.note(FailureReason::EventsLost);
            return;
        }
        let Event { file: Some(file), pid, process, .. } = event else { return };
        if pid == self.own_pid {
            return;
        }
        self.counters.seen.fetch_add(1, Ordering::Relaxed);
        if self.queue.offer(Sighting { file, pid, process, observed_at }).is_err() {
            self.health.note(FailureReason::QueueFull);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::sys::eventfd::EfdFlags;
    use nix::sys::fanotify::MaskFlags;

    use super::*;
    use crate::health::Pulses;

    /// A reader with room for one sighting; `None`, loudly, where no group can be made.
    fn reader() -> Option<Reader> {
        let group = Group::notification().inspect_err(|error| eprintln!("SKIPPED: a test of the reader, because {error}")).ok()?;
        Some(Reader {
            group: Arc::new(group),
            stop: Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap()),
            queue: Arc::new(Queue::new(1)),
            counters: Arc::default(),
            health: Health::default(),
            pulse: Pulses::default().add("reader", 1),
            clock: Clock::standing(7),
            own_pid: 100,
        })
    }

    /// An execution by this process; the file's other end tells when it is closed.
    fn event(pid: i32) -> (Event, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        let file = Some(File::from(OwnedFd::from(writer)));
        (Event { mask: MaskFlags::FAN_OPEN_EXEC, file, pid, process: None }, reader)
    }

    fn is_closed(mut pipe: std::io::PipeReader) -> bool {
        pipe.read(&mut [0]).unwrap() == 0
    }

    #[test]
    fn what_does_not_fit_the_queue_is_counted_and_closed() {
        let Some(reader) = reader() else { return };
        let ((first, _kept), (second, pipe)) = (event(1), event(2));
        reader.pass_on(first, 7);
        reader.pass_on(second, 7);
        assert!(is_closed(pipe));
        assert_eq!(reader.health.counts(), [("queue_full", 1)]);
        assert_eq!(reader.queue.take().map(|sighting| (sighting.pid, sighting.observed_at)), Some((1, 7)));
        assert_eq!(reader.counters.seen.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn our_own_executions_are_let_go_and_lost_events_counted() {
        let Some(reader) = reader() else { return };
        let (own, pipe) = event(100);
        reader.pass_on(own, 7);
        assert!(is_closed(pipe));
        reader.pass_on(Event { mask: MaskFlags::FAN_Q_OVERFLOW, file: None, pid: 0, process: None }, 7);
        assert_eq!(reader.counters.seen.load(Ordering::Relaxed), 0);
        assert_eq!(reader.health.counts(), [("events_lost", 1)]);
    }

    #[test]
    fn a_reader_that_is_asked_to_stop_ends() {
        let Some(reader) = reader() else { return };
        reader.stop.write(1).unwrap();
        reader.run().unwrap();
    }
}
