//! The thread that takes events from the kernel. It may read, look at memory, answer and enqueue; it never logs, opens, closes what
//! could be a file's last descriptor, waits for a lock that is held across I/O, or awaits.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use doorward_proto::report::Fate;
use doorward_service::Clock;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::fanotify::MaskFlags;
use nix::sys::stat::{FileStat, fstat, stat};

use super::Counters;
use super::aftermath::{After, Aftermath, Allowed, Content, Unopened, is_still};
use super::deadline::Deadlines;
use super::held::{Crowd, Held, Target, respond};
use super::line::Line;
use super::opened::Opens;
use super::seen::Seen;
use super::warm::{Known, Warm};
use crate::health::{FailureReason, Health, Pulse};
use crate::identify::{Identifier, Identity};
use crate::judge::Judge;
use crate::system::group::{Answer, Class, Event, EventBuffer, Group, GroupError, Quiet};
use crate::system::lease;

/// Token of the group's descriptor in epoll.
const GROUP: u64 = 1;
/// The reader comes back at least this often, in milliseconds, whether anything was executed or not: one that was stopped while it waited
/// looks no different from one that has nothing to do.
const BEAT_MS: u16 = 250;
/// Token of the descriptor that asks the reader to end.
const STOP: u64 = 2;

/// An execution as the kernel told of it, owned by the queue and then by whoever takes it.
#[derive(Debug)]
pub(super) struct Sighting {
    /// The file, and whether its execution waits for an answer.
    pub(super) target: Target,
    /// What the kernel was told already, when it was told before anybody looked closer.
    pub(super) given: Option<Answer>,
    /// How it was noticed.
    pub(super) manner: Manner,
    /// Effective user of the process; root where that cannot be told.
    pub(super) user: u32,
    /// Process that executed it.
    pub(super) pid: i32,
    /// Descriptor of that process; `None` when it was gone already.
    pub(super) process: Option<OwnedFd>,
    /// Microseconds since 1970, UTC.
    pub(super) observed_at: i64,
}

/// How an execution was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A mark told of it, or it was found when watching began.
    Told,
    /// It had begun, unseen by any mark.
    Late,
    /// Likewise, and nobody here can read its file without asking somebody else: it is open by name only.
    Unreadable,
    /// Likewise, on a mount that the profile trusts.
    Trusted,
}

/// What the reader works with.
pub(super) struct Reader {
    pub(super) group: Arc<Group>,
    pub(super) stop: Arc<EventFd>,
    pub(super) queue: Arc<Line>,
    pub(super) counters: Arc<Counters>,
    pub(super) health: Health,
    pub(super) pulse: Pulse,
    /// As `pulse`, for the guard, and never idle.
    pub(super) prompt: Pulse,
    pub(super) clock: Clock,
    pub(super) identifier: Arc<Identifier>,
    pub(super) judge: Arc<Judge>,
    pub(super) warm: Arc<Warm>,
    pub(super) crowd: Arc<Crowd>,
    pub(super) deadlines: Arc<Deadlines>,
    pub(super) aftermath: Arc<Aftermath>,
    pub(super) seen: Arc<Seen>,
    pub(super) opens: Opens,
    /// This process's own executions are never judged.
    pub(super) own_pid: i32,
    /// This program, which people and its own helpers run too.
    pub(super) own: Option<Identity>,
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
            let count = match epoll.wait(&mut ready, EpollTimeout::from(BEAT_MS)) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(GroupError::Read(error)),
            };
            if ready[..count].iter().any(|event| event.data() == STOP) {
                return Ok(());
            }
            let now_ms = super::monotonic_ms();
            self.prompt.beat(now_ms);
            if count > 0 {
                self.pulse.beat(now_ms);
                self.read_once(&mut buffer, &mut events)?;
            }
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
        if event.mask.contains(MaskFlags::FAN_CLOSE_WRITE) {
            // Where nobody waits, the kernel may tell of this and of a use in one event.
            if !event.is_use() {
                let Some(file) = event.file else { return };
                return self.aftermath.add(After::Rewritten(file));
            }
            if let Some(file) = event.file.as_ref().and_then(|file| file.try_clone().ok()) {
                self.aftermath.add(After::Rewritten(file));
            }
        }
        if event.pid == self.own_pid && event.file.is_some() {
            return self.let_own_go(event);
        }
        if event.is_execution() { self.execution(event, observed_at) } else { self.open(event, observed_at) }
    }

    fn execution(&self, event: Event, observed_at: i64) {
        let is_held = event.is_held();
        let Event { file, pid, process, .. } = event;
        self.counters.seen.fetch_add(1, Ordering::Relaxed);
        let Some(file) = file else {
            let (fate, reason) = match self.group.class() {
                Class::Permission => (Fate::Refused, FailureReason::DeniedUnjudged),
                Class::Notification => (Fate::Ran, FailureReason::EventsLost),
            };
            self.health.note(reason);
            return self.aftermath.add(After::Unopened(Unopened { pid, process, reason, fate, observed_at }));
        };
        let stat = fstat(&file).ok();
        if let Some(stat) = &stat {
            self.seen.note(pid, stat);
        }
        if is_held {
            self.hold(file, stat, pid, process, observed_at);
        } else {
            self.enqueue(Sighting {
                target: Target::Open(file),
                given: None,
                manner: Manner::Told,
                user: user_of(pid),
                pid,
                process,
                observed_at,
            });
        }
    }

    /// Nothing this process opens or executes waits for anybody.
    fn let_own_go(&self, event: Event) {
        let is_held = event.is_held();
        let Some(file) = event.file else { return };
        if is_held {
            respond(&self.group, &file, Answer::Allow, &self.health);
        }
        self.aftermath.add(After::Close(Target::Open(file)));
    }

    /// Answers what is known and has everything else looked at within its time.
    fn hold(&self, file: File, stat: Option<FileStat>, pid: i32, process: Option<OwnedFd>, observed_at: i64) {
        let found = stat.and_then(|stat| Some((self.identity(&stat)?, Content::of(&stat))));
        let identity = found.map(|(identity, _)| identity);
        if identity.is_some() && identity == self.own {
            respond(&self.group, &file, Answer::Allow, &self.health);
            self.counters.judged.fetch_add(1, Ordering::Relaxed);
            return self.aftermath.add(After::Close(Target::Open(file)));
        }
        if let Some((identity, content, known)) =
            found.and_then(|(identity, content)| Some((identity, content, self.known(&file, &identity)?)))
        {
            respond(&self.group, &file, known.answer, &self.health);
            if known.matters {
                let given = Some(known.answer);
                let user = user_of(pid);
                return self.enqueue(Sighting { target: Target::Open(file), given, manner: Manner::Told, user, pid, process, observed_at });
            }
            self.counters.judged.fetch_add(1, Ordering::Relaxed);
            let target = Target::Open(file);
            return self.aftermath.add(match known.answer {
                Answer::Deny => After::Close(target),
                Answer::Allow => After::Allowed(Allowed {
                    target,
                    identity,
                    content,
                    basis: Some(known.basis),
                    quiet: Quiet::Everything,
                    only_root_writes: known.only_root_writes,
                    is_load: false,
                    pid,
                    process: process.map(Arc::new),
                }),
            });
        }
        let user = user_of(pid);
        let held = match Held::new(Arc::downgrade(&self.group), file, user, &self.crowd, &self.health) {
            Ok(held) => Arc::new(held),
            Err(file) => {
                respond(&self.group, &file, Answer::Deny, &self.health);
                return self.aftermath.add(After::Close(Target::Open(file)));
            }
        };
        if !self.deadlines.add(&held, Instant::now()) {
            held.answer(Answer::Deny);
            self.health.note(FailureReason::OverTotalCap);
        }
        self.enqueue(Sighting { target: Target::Held(held), given: None, manner: Manner::Told, user, pid, process, observed_at });
    }

    /// What was judged of this very content, when it cannot change before it runs: nobody but root may write the file, or nobody has
    /// it open for writing and a lease keeps it so.
    fn known(&self, file: &File, identity: &Identity) -> Option<Known> {
        let known = self.warm.known(self.judge.generation(), identity)?;
        // SECURITY: read last. Whoever was told of a verdict that takes the allow back never sees it given after that.
        if !self.judge.holds(&known.basis) {
            return None;
        }
        if known.only_root_writes || known.answer == Answer::Deny {
            return Some(known);
        }
        if known.matters {
            // Told and followed at once: only whoever looks closer can do both, since the lease goes with the file.
            return None;
        }
        let is_kept = lease::take(file).unwrap_or(false) && is_still(file, identity);
        is_kept.then_some(known)
    }

    /// The inode as it was looked at, where its filesystem was met before.
    pub(super) fn identity(&self, stat: &FileStat) -> Option<Identity> {
        Some(Identity::of(self.identifier.filesystems().known(stat.st_dev)?, stat))
    }

    fn enqueue(&self, sighting: Sighting) {
        let Err(sighting) = self.queue.offer(sighting) else { return };
        self.health.note(FailureReason::QueueFull);
        if let Some(held) = sighting.target.held() {
            held.answer(Answer::Deny);
        }
        self.aftermath.add(After::Close(sighting.target));
    }
}

/// The effective user of a process, whose folder in `/proc` is his; root for those that may not be looked into.
pub(super) fn user_of(pid: i32) -> u32 {
    stat(format!("/proc/{pid}").as_str()).map_or(0, |folder| folder.st_uid)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use doorward_policy::{Sha256, Status};
    use doorward_proto::uplink::{CoverageKind, Verdict, VerdictDecision};
    use nix::sys::eventfd::EfdFlags;

    use super::*;
    use crate::exec::deadline::HOLD_DEADLINE_MS;
    use crate::health::Pulses;
    use crate::judge::tests::TestRoot;

    /// A reader with room for one sighting; `None`, loudly, where no group can be made.
    fn reader() -> Option<Reader> {
        let group = Group::new(Class::Notification, CoverageKind::Exec);
        let group = group.inspect_err(|error| eprintln!("SKIPPED: a test of the reader, because {error}")).ok()?;
        let (health, clock) = (Health::default(), Clock::standing(7));
        let host = TestRoot::new();
        Some(Reader {
            group: Arc::new(group),
            stop: Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap()),
            queue: Arc::new(Line::new(1)),
            counters: Arc::default(),
            pulse: Pulses::default().add("reader", 1),
            prompt: Pulses::default().add("reader", 1),
            own: None,
            identifier: Arc::new(host.identifier),
            judge: Arc::new(host.judge),
            warm: Arc::default(),
            crowd: Arc::new(Crowd::new(8)),
            deadlines: Arc::default(),
            aftermath: Arc::new(Aftermath::new(health.clone())),
            seen: Arc::default(),
            opens: Opens {
                plain: Arc::default(),
                openers: Arc::default(),
                mounts: Arc::default(),
                crowd: Arc::new(Crowd::new(8)),
                queue: Arc::new(Line::new(1)),
            },
            health,
            clock,
            own_pid: 100,
        })
    }

    #[test]
    fn an_open_takes_no_room_from_executions_and_our_own_waits_for_nobody() {
        let Some(reader) = reader() else { return };
        let ((execution, _first), (open, _second), (own, pipe)) = (event(1), event(2), event(100));
        reader.pass_on(Event { mask: MaskFlags::FAN_OPEN, ..open }, 7);
        reader.pass_on(Event { mask: MaskFlags::FAN_OPEN, ..own }, 7);
        reader.pass_on(execution, 7);
        assert_eq!(reader.opens.queue.take().map(|sighting| sighting.pid), Some(2));
        assert_eq!(reader.queue.take().map(|sighting| sighting.pid), Some(1));
        assert_eq!(reader.counters.seen.load(Ordering::Relaxed), 1, "executions are counted");
        for pid in [3, 4] {
            reader.pass_on(Event { mask: MaskFlags::FAN_OPEN, ..event(pid).0 }, 7);
        }
        assert_eq!(reader.health.counts(), [("opens_unseen", 1)], "what finds no room");
        drop(reader.aftermath);
        assert!(is_closed(pipe));
    }

    /// An execution by this process; the file's other end tells when it is closed.
    fn event(pid: i32) -> (Event, std::io::PipeReader) {
        let (reader, writer) = std::io::pipe().unwrap();
        let file = Some(File::from(OwnedFd::from(writer)));
        (Event { mask: MaskFlags::FAN_OPEN_EXEC, file, file_error: None, pid, process: None }, reader)
    }

    fn without_file(mask: MaskFlags, file_error: Option<Errno>) -> Event {
        Event { mask, file: None, file_error, pid: 1, process: None }
    }

    fn is_closed(mut pipe: std::io::PipeReader) -> bool {
        pipe.read(&mut [0]).unwrap() == 0
    }

    #[test]
    fn what_does_not_fit_the_queue_is_counted_and_closed_by_somebody_else() {
        let Some(reader) = reader() else { return };
        let ((first, _kept), (second, pipe)) = (event(1), event(2));
        reader.pass_on(first, 7);
        reader.pass_on(second, 7);
        drop(reader.aftermath);
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
        reader.pass_on(without_file(MaskFlags::FAN_Q_OVERFLOW, None), 7);
        assert_eq!(reader.counters.seen.load(Ordering::Relaxed), 0);
        reader.pass_on(without_file(MaskFlags::FAN_OPEN_EXEC, Some(Errno::EAGAIN)), 7);
        assert_eq!(reader.counters.seen.load(Ordering::Relaxed), 1);
        assert_eq!(reader.health.counts(), [("events_lost", 2)]);
        drop(reader.aftermath);
        assert!(is_closed(pipe));
    }

    /// A program of the test's own and its identity, remembered as allowed.
    fn warm(reader: &Reader, sha256: &Sha256) -> (tempfile::TempDir, File, Identity) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        std::fs::write(&path, "x").unwrap();
        let file = File::open(&path).unwrap();
        let stat = fstat(&file).unwrap();
        let identity = Identity::of(reader.identifier.filesystems().id(stat.st_dev, &file).unwrap(), &stat);
        let basis = reader.judge.basis(sha256);
        reader.warm.remember(identity, Known { basis, answer: Answer::Allow, matters: false, only_root_writes: true });
        (folder, file, identity)
    }

    #[test]
    fn an_allow_that_was_taken_back_is_never_given_again_and_others_stay() {
        let Some(reader) = reader() else { return };
        let (one, other) = (Sha256::new([1; 32]), Sha256::new([2; 32]));
        let (_first, file, identity) = warm(&reader, &one);
        let (_second, other_file, other_identity) = warm(&reader, &other);
        assert!(reader.known(&file, &identity).is_some());
        let denied = Verdict {
            file: one,
            status: Status::Threat,
            reason: "malicious".to_owned(),
            decision: VerdictDecision::Undecided,
            threat_score: None,
            threat_name: None,
            is_final: true,
            change_id: 1,
        };
        reader.judge.lists().take_verdicts([&denied]);
        assert!(reader.known(&file, &identity).is_none());
        assert!(reader.known(&other_file, &other_identity).is_some(), "nothing was said of this one");
    }

    #[test]
    fn the_deadline_does_not_look_at_the_clock_that_people_set() {
        let Some(reader) = reader() else { return };
        // The reader's clock stands at 1970, as after somebody set the machine's back; time goes on all the same.
        let (event, _pipe) = event(1);
        let before = Instant::now();
        reader.pass_on(Event { mask: MaskFlags::FAN_OPEN_EXEC_PERM, ..event }, 7);
        let limit = Duration::from_millis(HOLD_DEADLINE_MS);
        let due = reader.deadlines.first_due().unwrap();
        assert!(due >= before + limit && due <= Instant::now() + limit);
    }

    #[test]
    fn a_reader_that_is_asked_to_stop_ends() {
        let Some(reader) = reader() else { return };
        reader.stop.write(1).unwrap();
        reader.run().unwrap();
    }
}
