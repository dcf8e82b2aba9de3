//! The second sensor: executions the marks cannot see. The kernel tells of every process that executed something, once it has begun;
//! what lies on a marked file system was judged before it began and is passed over, everything else is judged now: programs in
//! memory files, on file systems mounted a moment ago or in namespaces of their own, and on those that are never marked.
//!
//! A program that forked and ended before anybody looked has left only its children, of whose executable nothing is told: every now
//! and then, and after each process that had to be ended, all that run are looked through. Everything here happens after the fact;
//! nobody waits for it, and it asks no file system that somebody else answers for.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use doorward_service::Clock;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::fresh::Fresh;
use super::held::Target;
use super::line::Line;
use super::mount::{self, Mount, Mounts, Watching};
use super::reader::{Manner, Sighting, user_of};
use super::scope::Scope;
use super::seen::Seen;
use super::warm::Warm;
use super::{Counters, executable, monotonic_ms, monotonic_ns};
use crate::health::{FailureReason, Health, Pulse};
use crate::identify::{Identifier, Identity};
use crate::judge::Judge;
use crate::system::connector::{Connector, ConnectorError};
use crate::system::glance::{Glance, glance, glance_at_program};
use crate::system::group::Group;
use crate::system::process;

/// All that run are looked through at least this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// Where the kernel tells nothing, it is asked again after this.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// Bytes read of the mount table of a process elsewhere, which whoever made its namespace fills; some 5,000 mounts.
const TABLE_BYTES_MAX: u64 = 1 << 20;
/// Events taken in one go before anything else is seen to.
const EVENTS_AT_ONCE: usize = 1_024;

/// What the thread works with.
pub(super) struct Sensor {
    /// Weak, so that the sensor never keeps open what holds executions.
    pub(super) group: Weak<Group>,
    pub(super) mounts: Arc<ArcSwap<Mounts>>,
    pub(super) queue: Arc<Line>,
    pub(super) seen: Arc<Seen>,
    pub(super) fresh: Arc<Fresh>,
    pub(super) warm: Arc<Warm>,
    pub(super) identifier: Arc<Identifier>,
    pub(super) judge: Arc<Judge>,
    pub(super) scope: Scope,
    pub(super) counters: Arc<Counters>,
    pub(super) health: Health,
    pub(super) clock: Clock,
    pub(super) stop: Arc<EventFd>,
    /// Asks for a look through all that run.
    pub(super) sweep: Arc<EventFd>,
    /// Whether the kernel tells of processes; for the coverage report.
    pub(super) is_told: Arc<AtomicBool>,
    pub(super) own_pid: i32,
    /// Device of memory files, which no mount table names.
    pub(super) memory: Option<u64>,
    pub(super) known: RefCell<Known>,
}

/// Executables that were found where no mark sees them, by process, device and inode number: told of once.
#[derive(Debug, Default)]
pub(super) struct Known {
    now: HashSet<(i32, u64, u64)>,
    next: HashSet<(i32, u64, u64)>,
}

/// A look through all that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sweep {
    /// Only to know what ran before.
    First,
    /// For what was missed.
    Later,
}

/// Why following the kernel's word ended.
enum End {
    Stopped,
    Lost,
}

/// What can be done with a file that no mark sees.
enum Reach {
    /// On a file system of this kernel alone, which could be marked.
    Local,
    /// In memory, or laid over local ones: to be read, not to be marked.
    Readable,
    /// Somebody else answers for it, or nobody knows who does.
    Foreign,
    /// Likewise, on a mount that the profile trusts.
    Trusted,
}

/// The device of memory files, whose file system is the kernel's own.
pub(super) fn memory_device() -> Option<u64> {
    let file = memfd_create("doorward-sensor", MFdFlags::MFD_CLOEXEC).ok()?;
    glance(file).ok().map(|found| found.device)
}

impl Sensor {
    /// Works until asked to stop.
    pub(super) fn run(&self, pulse: &Pulse) {
        let mut was_told = true;
        // What ran before it was watched for is the catch-up's to report, and nobody's to end.
        self.look_through(Sweep::First, pulse);
        loop {
            let end = match Connector::listen() {
                Ok(connector) => {
                    was_told = true;
                    self.is_told.store(true, Ordering::Relaxed);
                    self.look_through(Sweep::Later, pulse);
                    self.follow(&connector, pulse)
                }
                Err(error) => {
                    self.is_told.store(false, Ordering::Relaxed);
                    self.health.note(FailureReason::SensorUnavailable);
                    if std::mem::take(&mut was_told) {
                        tracing::warn!(%error, "programs in memory and in other namespaces are only found by looking through what runs");
                    }
                    self.look_through(Sweep::Later, pulse);
                    self.pause(pulse)
                }
            };
            match end {
                End::Stopped => return,
                End::Lost => {}
            }
        }
    }

    /// Takes in what the kernel tells, until it is not whole any more.
    fn follow(&self, connector: &Connector, pulse: &Pulse) -> End {
        let mut swept = Instant::now();
        loop {
            let wait = SWEEP_INTERVAL.saturating_sub(swept.elapsed());
            let (is_over, is_asked) = self.wait(Some(connector), wait, pulse);
            if is_over {
                return End::Stopped;
            }
            for _ in 0..EVENTS_AT_ONCE {
                match connector.read() {
                    Ok(Some(executed)) => self.look(executed.pid, executed.at_ns, None),
                    Ok(None) => break,
                    Err(error) => {
                        self.health.note(FailureReason::SensorLost);
                        if !matches!(error, ConnectorError::Lost) {
                            tracing::warn!(%error, "asking for process events anew");
                        }
                        return End::Lost;
                    }
                }
            }
            if is_asked || swept.elapsed() >= SWEEP_INTERVAL {
                self.look_through(Sweep::Later, pulse);
                swept = Instant::now();
            }
        }
    }

    /// Without the kernel's word only looking through what runs is left, until it is time to ask the kernel again.
    fn pause(&self, pulse: &Pulse) -> End {
        let until = Instant::now() + RETRY_INTERVAL;
        while Instant::now() < until {
            let (is_over, _) = self.wait(None, SWEEP_INTERVAL.min(until.saturating_duration_since(Instant::now())), pulse);
            if is_over {
                return End::Stopped;
            }
            self.look_through(Sweep::Later, pulse);
        }
        End::Lost
    }

    /// Waits for something to do; whether it is over, and whether a look through all that run was asked for.
    fn wait(&self, connector: Option<&Connector>, at_most: Duration, pulse: &Pulse) -> (bool, bool) {
        pulse.idle();
        let mut waits = vec![PollFd::new(self.stop.as_fd(), PollFlags::POLLIN), PollFd::new(self.sweep.as_fd(), PollFlags::POLLIN)];
        waits.extend(connector.map(|connector| PollFd::new(connector.as_fd(), PollFlags::POLLIN)));
        let at_most = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        let outcome = poll(&mut waits, at_most);
        pulse.beat(monotonic_ms());
        if !matches!(outcome, Ok(_) | Err(Errno::EINTR)) {
            // Nothing was waited for: better late than in a circle.
            std::thread::sleep(Duration::from_secs(1));
        }
        let is_asked = waits[1].any() == Some(true);
        if is_asked {
            let _ = self.sweep.read();
        }
        (waits[0].any() == Some(true), is_asked)
    }

    /// Looks at every process there is.
    fn look_through(&self, sweep: Sweep, pulse: &Pulse) {
        for pid in executable::running() {
            pulse.beat(monotonic_ms());
            self.look(pid, monotonic_ns(), Some(sweep));
        }
        let mut known = self.known.borrow_mut();
        known.now = std::mem::take(&mut known.next);
    }

    /// Looks at what a process runs and hands on what the marks did not tell of.
    fn look(&self, pid: i32, at_ns: u64, sweep: Option<Sweep>) {
        if pid == self.own_pid {
            return;
        }
        // PERF: nearly every execution ends here, at two calls of the kernel; opening what follows takes seven.
        let by_name = |group: &Group| group.watches_filesystem_at(&executable::link(pid)).unwrap_or(false);
        match glance_at_program(pid) {
            Ok(found) if self.is_passed_over(pid, &found, at_ns, by_name) => return,
            // It ended, or is a thread of the kernel.
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            _ => {}
        }
        // In this order, so that the executable is this very process's for as long as it lives.
        let Some(process) = process::open(pid) else { return };
        let Some(file) = executable::open_exe(pid) else { return };
        let Ok(found) = glance(&file) else { return };
        let by_file = |group: &Group| group.watches_filesystem_of(file.as_fd()).unwrap_or(false);
        if self.is_passed_over(pid, &found, at_ns, by_file) {
            return;
        }
        let Some(group) = self.group.upgrade() else { return };
        let mounts = self.mounts.load();
        // Only for want of descriptors can that not be told, and nobody is to be ended for that: the next look finds it again.
        let Some(mount) = found.mount.or_else(|| mount::id_of(&file)) else {
            self.health.note(FailureReason::DescriptorsExhausted);
            return;
        };
        let is_watched = || by_file(&group);
        let is_new = self.remember((pid, found.device, found.inode), sweep.is_some());
        // SECURITY: the process is alive after everything was read of it, so all of it was its own.
        let is_known = sweep == Some(Sweep::First) || sweep == Some(Sweep::Later) && !is_new;
        if is_known || !self.scope.holds(pid) || !process::is_alive(&process) {
            return;
        }
        let reach = self.reach(pid, mount, &found, &mounts, is_watched);
        if matches!(reach, Reach::Local) && !is_watched() && group.watch_filesystem_of(file.as_fd()).is_err() {
            self.health.note(FailureReason::MarkFailed);
        }
        drop(group);
        if let Err(reason) = self.hand_on(pid, process, file, &reach) {
            self.health.note(reason);
            // The next look through all that run finds it again.
            let mut known = self.known.borrow_mut();
            known.now.remove(&(pid, found.device, found.inode));
            known.next.remove(&(pid, found.device, found.inode));
        }
    }

    /// Whether the marks tell of such an execution, or told of this one.
    ///
    /// SECURITY: the kernel is asked whether the file system has a mark, each time: numbers of devices and mounts are used again. It is
    /// asked only about those that are known to be local; a program that answers for its own file system could keep us waiting.
    fn is_passed_over(&self, pid: i32, found: &Glance, at_ns: u64, is_watched: impl FnOnce(&Group) -> bool) -> bool {
        if self.seen.has(pid, found) {
            return true;
        }
        let mounts = self.mounts.load();
        let mount = found.mount.and_then(|id| mounts.by_id(id));
        let is_own = mount.is_some_and(|mount| mount.watching() == Watching::Watched) || mounts.watches_device(found.device);
        let is_told_of = || !self.fresh.holds(found.device, at_ns) || self.is_settled(found);
        is_own && is_told_of() && self.group.upgrade().is_some_and(|group| is_watched(&group))
    }

    /// Whether the answer for this very content is known and is what makes the marks silent about a file: nobody need hear of it.
    ///
    /// PERF: without it, every start of a system program in a mark's first minute is judged anew, at some 200 us each.
    fn is_settled(&self, found: &Glance) -> bool {
        let Some(filesystem) = self.identifier.filesystems().known(found.device) else { return false };
        let identity = Identity { filesystem, inode: found.inode, changed_ns: found.changed_ns, size: found.size };
        self.warm.known(self.judge.generation(), &identity).is_some_and(|known| known.is_silent() && self.judge.holds(&known.basis))
    }

    fn remember(&self, executable: (i32, u64, u64), is_sweep: bool) -> bool {
        let mut known = self.known.borrow_mut();
        if is_sweep {
            known.next.insert(executable);
            !known.now.contains(&executable)
        } else {
            known.now.insert(executable)
        }
    }

    fn reach(&self, pid: i32, id: u64, found: &Glance, mounts: &Mounts, is_watched: impl Fn() -> bool) -> Reach {
        let of = |table: &Mounts| table.by_id(id).map(|mount| (mount.watching(), mount.is_layered()));
        let theirs = || of(&Mounts::read_at_most(Path::new(&format!("/proc/{pid}/mountinfo")), TABLE_BYTES_MAX).ok()?.0);
        match of(mounts).or_else(theirs) {
            Some((Watching::Watched, false)) => Reach::Local,
            Some((Watching::Watched, true)) => Reach::Readable,
            Some(_) if mounts.by_id(id).is_some_and(|mount| self.is_trusted(mount)) => Reach::Trusted,
            Some(_) => Reach::Foreign,
            // No table names it, as when the process has a root of its own by now. What has a mark was found to be this kernel's alone.
            None if is_watched() => Reach::Readable,
            // No table names it: in memory, or what was unmounted while it is in use, whoever answers for that.
            None if Some(found.device) == self.memory => Reach::Readable,
            None => Reach::Foreign,
        }
    }

    /// Whether the profile has what runs from a mount of this host let be. Nobody else's mounts are meant, whatever they are called.
    fn is_trusted(&self, mount: &Mount) -> bool {
        self.judge.lists().settings().trusted_mounts.contains(&mount.point)
    }

    /// The failure is for want of room or of descriptors.
    fn hand_on(&self, pid: i32, process: OwnedFd, file: File, reach: &Reach) -> Result<(), FailureReason> {
        let readable = match reach {
            Reach::Local | Reach::Readable => match executable::try_open_for_reading(&file) {
                Err(Errno::EMFILE | Errno::ENFILE) => return Err(FailureReason::DescriptorsExhausted),
                opened => opened.ok(),
            },
            Reach::Foreign | Reach::Trusted => None,
        };
        let (file, manner) = match readable {
            Some(readable) => (readable, Manner::Late),
            None if matches!(reach, Reach::Trusted) => (file, Manner::Trusted),
            None => (file, Manner::Unreadable),
        };
        let observed_at = self.clock.now_micros();
        let sighting =
            Sighting { target: Target::Open(file), given: None, manner, user: user_of(pid), pid, process: Some(process), observed_at };
        self.counters.seen.fetch_add(1, Ordering::Relaxed);
        self.queue.offer(sighting).map_err(|_| FailureReason::QueueFull)
    }
}
