//! Starts and stops the threads that watch executions, and says when they ended by themselves.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use doorward_proto::report::{Coverage, ReportBody};
use doorward_proto::uplink::CoverageKind;
use doorward_service::Clock;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use tokio::sync::{Notify, watch};

use super::aftermath::{Aftermath, Follower};
use super::cold::{Cold, Lane};
use super::coverage::Marks;
use super::deadline::Deadlines;
use super::deferred::{Deferred, Means};
use super::fresh::Fresh;
use super::held::Crowd;
use super::history::History;
use super::line::Line;
use super::load::OpenMemory;
use super::mount::{MOUNTINFO, Mounts};
use super::opened::Opens;
use super::outcome::{Outcomes, SettledBySource};
use super::queue::Queue;
use super::quieting::{Quieter, Quieting};
use super::reader::Reader;
use super::record::Recorder;
use super::remark::Remarker;
use super::running::catch_up;
use super::scope::Scope;
use super::seen::Seen;
use super::sensor::{Sensor, memory_device};
use super::threads::{Threads, go_first, raise};
use super::witness::Bench;
use crate::health::{Health, Pulse, Pulses};
use crate::identify::{Identifier, Identity};
use crate::judge::Judge;
use crate::pending::Pending;
use crate::system::group::{Class, DESCRIPTORS_PER_READ_MAX, Group, GroupError};
use crate::system::priority;

/// Events that may wait for the witness, whatever the limit of descriptors would allow.
const QUEUE_EVENTS_MAX: u64 = 16_384;
/// Reports that may wait for the pending store.
const QUEUE_REPORTS_MAX: usize = 4096;
/// Threads that take in what the reader found.
const WITNESSES: usize = 2;
/// Threads that read files, by what they read; more would only crowd the disk.
const WORKERS: [Lane; 3] = [Lane::Small, Lane::Small, Lane::Large];
/// Executions held at once, whatever the limit of descriptors would allow.
const HELD_MAX: usize = 1_024;
/// The reader comes back from one piece of work within this, in milliseconds, or the daemon is stuck. All other threads may have to
/// wait for a disk, which starting anew would not mend.
const VITAL_LIMIT_MS: i64 = 30_000;
/// Where executions wait for the reader, it comes back within this, in milliseconds, or the guard is no longer told that all is well.
const PROMPT_LIMIT_MS: i64 = 1_000;
/// A thread that waits for a disk is worth a report after this, in milliseconds.
const SLOW_LIMIT_MS: i64 = 60_000;
/// Longest the threads are waited for when watching stops, in milliseconds.
const STOP_DEADLINE_MS: u64 = 3_000;

/// Executions since the daemon started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events taken from the kernel, and programs found running at the start.
    pub seen: AtomicU64,
    /// Of those, judged.
    pub judged: AtomicU64,
    /// Of those, settled by nothing.
    pub unresolved: AtomicU64,
    /// Executions that did not start because of this program.
    pub denied: AtomicU64,
}

/// What watching needs from the rest of the daemon.
#[derive(Clone)]
pub struct Setup {
    /// Whether executions are held until they are answered.
    pub class: Class,
    /// Whether opens are watched too.
    pub coverage: CoverageKind,
    /// Whose processes are looked after where no mark sees them; `/` for everybody's.
    pub control_group: String,
    /// Judges.
    pub judge: Arc<Judge>,
    /// Identifies.
    pub identifier: Arc<Identifier>,
    /// Keeps reports.
    pub pending: Pending,
    /// Remembers executions; outlives this watch.
    pub history: Arc<History>,
    /// Counts executions; outlives this watch.
    pub counters: Arc<Counters>,
    /// Told of every execution a package settles.
    pub settled_by_source: SettledBySource,
    /// Counts failures.
    pub health: Health,
    /// Loops that must not stand still.
    pub vital: Pulses,
    /// Loops that may have to wait for a disk.
    pub slow: Pulses,
    /// Loops that must come back before a guard loses its patience.
    pub prompt: Pulses,
    /// Stamps events.
    pub clock: Clock,
    /// Called a few times a second for as long as no execution waits longer than it may.
    pub beat: Arc<dyn Fn() + Send + Sync>,
}

/// What the marks and the second sensor know of each other.
struct Senses {
    fresh: Arc<Fresh>,
    seen: Arc<Seen>,
    is_told: Arc<AtomicBool>,
}

impl Default for Senses {
    fn default() -> Self {
        Self { fresh: Arc::default(), seen: Arc::default(), is_told: Arc::new(AtomicBool::new(true)) }
    }
}

/// A running watch. Dropping it stops it.
pub struct Watch {
    stop: Arc<EventFd>,
    is_stopping: Arc<AtomicBool>,
    bench: Arc<Bench>,
    /// What looks at opens, with shares of its own, so that they never crowd out executions.
    loads: Arc<Bench>,
    reports: Arc<Queue<ReportBody>>,
    coverage: watch::Receiver<Coverage>,
    mounts: Arc<ArcSwap<Mounts>>,
    deadlines: Arc<Deadlines>,
    crowd: Arc<Crowd>,
    /// As `crowd`, of opens.
    opening: Arc<Crowd>,
    failed: Arc<Notify>,
    /// Ends when all threads but the recorder have.
    judged: Receiver<()>,
    /// Ends when the recorder has.
    recorded: Receiver<()>,
}

/// Milliseconds of a clock that never jumps, for [`crate::health::pulse`].
pub(crate) fn monotonic_ms() -> i64 {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000)
}

/// Nanoseconds of the same clock.
pub(crate) fn monotonic_ns() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.tv_sec().saturating_mul(1_000_000_000) + now.tv_nsec());
    now.cast_unsigned()
}

/// The inode of this very program, whose content cannot change while it runs.
fn own_identity(identifier: &Identifier) -> Option<Identity> {
    let program = File::open("/proc/self/exe").ok()?;
    let stat = fstat(&program).ok()?;
    Some(Identity::of(identifier.filesystems().id(stat.st_dev, &program).ok()?, &stat))
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// How many descriptors may be in flight: a quarter of the limit, less what one read of the kernel brings. Where opens are watched,
/// executions and opens have half of it each.
fn descriptor_budget(coverage: CoverageKind) -> u64 {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    let budget = (limit / 4).saturating_sub(DESCRIPTORS_PER_READ_MAX);
    match coverage {
        CoverageKind::Exec => budget.max(16),
        CoverageKind::ExecAndOpen => (budget / 2).max(16),
    }
}

impl Watch {
    /// Makes the group, marks every local filesystem, starts the threads, and catches up with what already runs.
    ///
    /// # Errors
    /// [`GroupError`] when this process may not watch at all.
    pub fn start(setup: Setup) -> Result<Self, GroupError> {
        let group = Arc::new(Group::new(setup.class, setup.coverage)?);
        let stop = Arc::new(event()?);
        let reports = Arc::new(Queue::new(QUEUE_REPORTS_MAX));
        let mounts = Arc::new(ArcSwap::from_pointee(Mounts::default()));
        let senses = Senses::default();
        let (coverage_sender, coverage) = watch::channel(Coverage::default());
        let remarker = Remarker {
            table: File::open(MOUNTINFO).map_err(refused)?,
            marks: Marks {
                group: Arc::downgrade(&group),
                fresh: Arc::clone(&senses.fresh),
                is_told: Arc::clone(&senses.is_told),
                health: setup.health.clone(),
            },
            mounts: Arc::clone(&mounts),
            coverage: coverage_sender,
            identifier: Arc::clone(&setup.identifier),
            stop: Arc::clone(&stop),
        };
        let is_stopping = Arc::new(AtomicBool::new(false));
        let sweep = Arc::new(event()?);
        let shared = Shared { reports: &reports, mounts: &mounts, sweep: &sweep, is_stopping: &is_stopping };
        let bench = Arc::new(bench(&setup, &shared, None));
        let loads = Arc::new(self::bench(&setup, &shared, Some(&bench)));
        let failed = Arc::new(Notify::new());
        let (judging, judged) = sync_channel(0);
        let (recording, recorded) = sync_channel(0);
        let held_max = usize::try_from(descriptor_budget(setup.coverage) / 4).unwrap_or(usize::MAX).min(HELD_MAX);
        let watch = Self {
            stop,
            is_stopping,
            bench,
            loads,
            reports,
            coverage,
            mounts,
            deadlines: Arc::default(),
            crowd: Arc::new(Crowd::new(held_max)),
            opening: Arc::new(Crowd::new(held_max)),
            failed: Arc::clone(&failed),
            judged,
            recorded,
        };
        let threads = Threads { over: recording, failed, health: setup.health.clone() };
        watch.start_recorder(&threads, &setup).map_err(refused)?;
        let threads = Threads { over: judging, ..threads };
        watch.start_answering(&threads, &group, &senses, &setup).map_err(refused)?;
        watch.start_judging(&threads, &watch.bench, Bench::witness, &setup).map_err(refused)?;
        if setup.coverage == CoverageKind::ExecAndOpen {
            watch.start_judging(&threads, &watch.loads, Bench::watch_opens, &setup).map_err(refused)?;
            watch.start_quieting(&threads, &setup).map_err(refused)?;
        }
        // Everybody who answers stands before the first mark is set.
        remarker.renew().map_err(refused)?;
        let pulse = setup.slow.add("mounts", SLOW_LIMIT_MS);
        threads.start("exec-mounts", move || remarker.run(&pulse).map_err(|error| error.to_string())).map_err(refused)?;
        watch.start_sensor(&threads, &group, senses, &setup).map_err(refused)?;
        watch.start_catch_up(&threads, &setup).map_err(refused)?;
        Ok(watch)
    }

    /// The threads that answer: the reader, the deadline, and those that clear up behind them.
    fn start_answering(&self, threads: &Threads, group: &Arc<Group>, senses: &Senses, setup: &Setup) -> std::io::Result<()> {
        let Outcomes { warm, aftermath, .. } = &self.bench.outcomes;
        let follower = Follower {
            aftermath: Arc::clone(aftermath),
            judge: Arc::clone(&setup.judge),
            group: Arc::downgrade(group),
            reports: Arc::clone(&self.reports),
            queue: Arc::clone(&self.bench.queue),
            clock: setup.clock.clone(),
            health: setup.health.clone(),
        };
        threads.start("exec-aftermath", move || {
            follower.run();
            Ok(())
        })?;
        let (deadlines, health, beat) = (Arc::clone(&self.deadlines), setup.health.clone(), Arc::clone(&setup.beat));
        let is_stopping = Arc::clone(&self.is_stopping);
        let class = setup.class;
        threads.start("exec-deadline", move || {
            go_first(class);
            deadlines.run(&health, || beat(), || is_stopping.load(Ordering::Relaxed));
            Ok(())
        })?;
        let reader = Reader {
            group: Arc::clone(group),
            stop: Arc::clone(&self.stop),
            queue: Arc::clone(&self.bench.queue),
            counters: Arc::clone(&setup.counters),
            health: setup.health.clone(),
            pulse: setup.vital.add("reader", VITAL_LIMIT_MS),
            prompt: setup.prompt.add("reader", PROMPT_LIMIT_MS),
            own: own_identity(&setup.identifier),
            clock: setup.clock.clone(),
            identifier: Arc::clone(&setup.identifier),
            judge: Arc::clone(&setup.judge),
            warm: Arc::clone(warm),
            crowd: Arc::clone(&self.crowd),
            deadlines: Arc::clone(&self.deadlines),
            aftermath: Arc::clone(aftermath),
            seen: Arc::clone(&senses.seen),
            opens: Opens {
                plain: Arc::clone(&self.loads.opens.plain),
                openers: Arc::clone(&self.loads.opens.openers),
                mounts: Arc::clone(&self.mounts),
                crowd: Arc::clone(&self.opening),
                queue: Arc::clone(&self.loads.queue),
            },
            own_pid: own_pid(),
        };
        threads.start("exec-reader", move || {
            go_first(class);
            reader.run().map_err(|error| error.to_string())
        })
    }

    /// The threads that find out what files are.
    fn start_judging(&self, threads: &Threads, bench: &Arc<Bench>, witness: fn(&Bench, &Pulse), setup: &Setup) -> std::io::Result<()> {
        let class = setup.class;
        for _ in 0..WITNESSES {
            let (bench, pulse) = (Arc::clone(bench), setup.slow.add("witness", SLOW_LIMIT_MS));
            threads.start("exec-witness", move || {
                raise(class, priority::JUDGING);
                witness(&bench, &pulse);
                Ok(())
            })?;
        }
        for lane in WORKERS {
            let (bench, pulse) = (Arc::clone(bench), setup.slow.add("worker", SLOW_LIMIT_MS));
            threads.start("exec-worker", move || {
                if lane == Lane::Small {
                    raise(class, priority::JUDGING);
                }
                bench.work(lane, &pulse);
                Ok(())
            })?;
        }
        let (judging, is_stopping) = (Arc::clone(bench), Arc::clone(&self.is_stopping));
        threads.start("exec-parked", move || {
            raise(class, priority::JUDGING);
            judging.outcomes.parked.run(&judging.outcomes, || is_stopping.load(Ordering::Relaxed));
            Ok(())
        })?;
        let (bench, is_stopping) = (Arc::clone(bench), Arc::clone(&self.is_stopping));
        let pulse = setup.slow.add("deferred", SLOW_LIMIT_MS);
        threads.start("exec-deferred", move || {
            let Outcomes { deferred, judge, .. } = &bench.outcomes;
            let settle = |execution, file: &_| bench.outcomes.settle(execution, file);
            let means = Means { judge, identifier: &bench.identifier, mounts: &bench.mounts, pulse: &pulse };
            deferred.run(&means, settle, || is_stopping.load(Ordering::Relaxed));
            Ok(())
        })
    }

    fn start_quieting(&self, threads: &Threads, setup: &Setup) -> std::io::Result<()> {
        let OpenMemory { plain, openers, quieting } = self.loads.opens.clone();
        let Outcomes { warm, aftermath, .. } = &self.loads.outcomes;
        let quieter = Quieter {
            quieting,
            plain,
            openers,
            warm: Arc::clone(warm),
            aftermath: Arc::clone(aftermath),
            identifier: Arc::clone(&setup.identifier),
            judge: Arc::clone(&setup.judge),
            mounts: Arc::clone(&self.mounts),
            class: setup.class,
        };
        let pulse = setup.slow.add("quieting", SLOW_LIMIT_MS);
        threads.start("exec-quieting", move || {
            quieter.run(&pulse);
            Ok(())
        })
    }

    fn start_sensor(&self, threads: &Threads, group: &Arc<Group>, senses: Senses, setup: &Setup) -> std::io::Result<()> {
        let Senses { fresh, seen, is_told } = senses;
        let sensor = Sensor {
            group: Arc::downgrade(group),
            mounts: Arc::clone(&self.mounts),
            queue: Arc::clone(&self.bench.queue),
            seen,
            fresh,
            warm: Arc::clone(&self.bench.outcomes.warm),
            identifier: Arc::clone(&setup.identifier),
            judge: Arc::clone(&setup.judge),
            scope: Scope::new(&setup.control_group),
            counters: Arc::clone(&setup.counters),
            health: setup.health.clone(),
            clock: setup.clock.clone(),
            stop: Arc::clone(&self.stop),
            sweep: Arc::clone(&self.bench.outcomes.sweep),
            is_told,
            own_pid: own_pid(),
            memory: memory_device(),
            known: RefCell::default(),
        };
        let pulse = setup.slow.add("sensor", SLOW_LIMIT_MS);
        threads.start("exec-sensor", move || {
            sensor.run(&pulse);
            Ok(())
        })
    }

    fn start_catch_up(&self, threads: &Threads, setup: &Setup) -> std::io::Result<()> {
        let (bench, counters) = (Arc::clone(&self.bench), Arc::clone(&setup.counters));
        let (mounts, clock) = (self.mounts.load_full(), setup.clock.clone());
        threads.start("exec-catch-up", move || {
            catch_up(&bench.queue, &counters, &mounts, &clock, own_pid());
            Ok(())
        })
    }

    fn start_recorder(&self, threads: &Threads, setup: &Setup) -> std::io::Result<()> {
        let recorder = Recorder {
            reports: Arc::clone(&self.reports),
            pending: setup.pending.clone(),
            health: setup.health.clone(),
            is_stopping: Arc::clone(&self.is_stopping),
        };
        let pulse = setup.slow.add("recorder", SLOW_LIMIT_MS);
        threads.start("exec-record", move || {
            recorder.run(&pulse);
            Ok(())
        })
    }

    /// What is covered, and every change of it.
    #[must_use]
    pub fn coverage(&self) -> watch::Receiver<Coverage> {
        self.coverage.clone()
    }

    /// The mounts as the watch knows them.
    #[must_use]
    pub fn mounts(&self) -> Arc<Mounts> {
        self.mounts.load_full()
    }

    /// Returns when a thread ended by itself: the watch has to be made anew.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + use<> {
        let failed = Arc::clone(&self.failed);
        async move { failed.notified().await }
    }

    /// Stops all threads and waits for them, at most [`STOP_DEADLINE_MS`]. What was judged is still recorded. Blocks.
    pub fn stop(self) {
        self.ask_to_stop();
        let deadline = Instant::now() + Duration::from_millis(STOP_DEADLINE_MS);
        // Nothing is ever sent: a channel ends with the last thread that holds it.
        let is_over = |threads: &Receiver<()>| {
            threads.recv_timeout(deadline.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Disconnected)
        };
        let have_judged = is_over(&self.judged);
        self.reports.close();
        if !(have_judged && is_over(&self.recorded)) {
            tracing::warn!("watching did not stop in time; its threads end with the process");
        }
    }

    fn ask_to_stop(&self) {
        // Whoever waits is let go before anything else is done.
        self.crowd.end();
        self.opening.end();
        self.deadlines.let_go();
        self.is_stopping.store(true, Ordering::Relaxed);
        if let Err(error) = self.stop.write(1) {
            tracing::warn!(%error, "cannot tell the reader to stop");
        }
        for bench in [&self.bench, &self.loads] {
            bench.queue.close();
            bench.cold.close();
        }
        self.loads.opens.quieting.close();
        self.bench.outcomes.aftermath.close();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ask_to_stop();
        self.reports.close();
    }
}

fn event() -> Result<EventFd, GroupError> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(GroupError::Init)
}

/// What both benches work with.
struct Shared<'a> {
    reports: &'a Arc<Queue<ReportBody>>,
    mounts: &'a Arc<ArcSwap<Mounts>>,
    sweep: &'a Arc<EventFd>,
    is_stopping: &'a Arc<AtomicBool>,
}

/// A bench, which remembers what the other does.
fn bench(setup: &Setup, shared: &Shared<'_>, other: Option<&Bench>) -> Bench {
    let budget = descriptor_budget(setup.coverage);
    let room = |descriptors: u64| usize::try_from(descriptors.min(QUEUE_EVENTS_MAX)).unwrap_or(usize::MAX);
    let new_memory = || OpenMemory { plain: Arc::default(), openers: Arc::default(), quieting: Arc::new(Quieting::new()) };
    let new_aftermath = || Arc::new(Aftermath::new(setup.health.clone()));
    Bench {
        // A sighting has two descriptors, a job one: half of the budget each.
        queue: Arc::new(Line::new(room(budget / 4))),
        cold: Cold::new(room(budget / 2)),
        identifier: Arc::clone(&setup.identifier),
        outcomes: Outcomes {
            judge: Arc::clone(&setup.judge),
            identifier: Arc::clone(&setup.identifier),
            history: Arc::clone(&setup.history),
            counters: Arc::clone(&setup.counters),
            reports: Arc::clone(shared.reports),
            settled_by_source: Arc::clone(&setup.settled_by_source),
            deferred: Deferred::default(),
            warm: other.map_or_else(Arc::default, |other| Arc::clone(&other.outcomes.warm)),
            parked: Arc::default(),
            aftermath: other.map_or_else(new_aftermath, |other| Arc::clone(&other.outcomes.aftermath)),
            mounts: Arc::clone(shared.mounts),
            sweep: Arc::clone(shared.sweep),
            class: setup.class,
            health: setup.health.clone(),
            clock: setup.clock.clone(),
        },
        mounts: Arc::clone(shared.mounts),
        health: setup.health.clone(),
        is_stopping: Arc::clone(shared.is_stopping),
        opens: other.map_or_else(new_memory, |other| other.opens.clone()),
    }
}

/// The kernel would not give a thread or a descriptor.
fn refused(error: std::io::Error) -> GroupError {
    GroupError::Init(error.raw_os_error().map_or(nix::errno::Errno::EAGAIN, nix::errno::Errno::from_raw))
}
