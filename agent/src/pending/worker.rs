//! The store's thread: takes requests, puts everything that waits into one commit, answers when it is on disk.
//!
//! The time an fsync takes is the time in which the next commit gathers, so nobody waits for a timer. A failure of sled, a panic
//! included, closes the store; the next request opens it again, at most once a [`REOPEN_PAUSE_MS`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_policy::Sha256;
use doorward_proto::report::Report;
use doorward_proto::uplink::Verdict;
use doorward_service::clock::Clock;
use tokio::sync::{mpsc, oneshot};

use super::error::{Fault, OpenError, PendingError, Recovery};
use super::folder::Folder;
use super::limit::{COMMIT_REQUESTS_MAX, COMPACT_CHECK_MS, Limits, REOPEN_PAUSE_MS};
use super::open::{Opening, panic_text, passes};
use super::shared::Shared;
use super::store::{Sheet, Store};
use crate::system::lock::{InstanceLock, LockError};

/// Longest sleep without looking at the clock, which may be set by hand or by a test.
const CLOCK_LOOK_MS: u64 = 250;

type Reply<T> = oneshot::Sender<Result<T, PendingError>>;

/// What the thread is asked for. Changes are answered after the commit that holds them, readings after that commit too.
pub(super) enum Request {
    Add { sheets: Vec<Sheet>, reply: Reply<()> },
    Acknowledge { sequence: u64, reply: Reply<()> },
    TakeVerdicts { verdicts: Vec<Verdict>, reply: Reply<Vec<Verdict>> },
    RenewEpoch { reply: Reply<()> },
    HandOut { after: u64, count_max: usize, bytes_max: usize, reply: Reply<Vec<Report>> },
    Verdict { file: Sha256, reply: Reply<Option<Verdict>> },
    VerdictsAfter { after: Option<Sha256>, max: usize, reply: Reply<(Vec<Verdict>, Option<Sha256>)> },
    Close { reply: Reply<()> },
}

/// An answer that is kept back until its commit is on disk.
type Answer = Box<dyn FnOnce(Result<(), PendingError>)>;

/// Fields are dropped in this order: whoever waits for the channel of requests to close finds the folder unlocked.
pub(super) struct Worker {
    pub(super) store: Option<Store>,
    /// Taken with the first opening that comes so far.
    pub(super) lock: Option<InstanceLock>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) folder: Folder,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) mint_epoch: fn() -> io::Result<[u8; 16]>,
    pub(super) shared: Arc<Shared>,
    /// Why the store is closed, and when that was found out.
    pub(super) failed: Option<(String, Instant)>,
    pub(super) compaction_checked: Instant,
}

impl Worker {
    /// The thread's life. Ends when it is told to, or when nobody is left to ask.
    pub(super) fn run(mut self, runtime: &tokio::runtime::Runtime) {
        loop {
            let wake = self.store.as_ref().and_then(Store::next_window_close).map_or(COMPACT_CHECK_MS, |_| CLOCK_LOOK_MS);
            let first = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(wake), self.requests.recv()).await });
            let mut group = Vec::new();
            match first {
                Ok(Some(request)) => group.push(request),
                Ok(None) => break,
                Err(_) => {}
            }
            while group.len() < COMMIT_REQUESTS_MAX {
                let Ok(request) = self.requests.try_recv() else { break };
                group.push(request);
            }
            if self.serve(group) {
                break;
            }
            self.compact_if_due();
        }
        self.close();
    }

    /// One commit and the readings after it; true when the store is to be closed.
    fn serve(&mut self, group: Vec<Request>) -> bool {
        let (mut answers, mut later): (Vec<Answer>, Vec<Request>) = (Vec::new(), Vec::new());
        let mut changed = self.close_windows();
        let mut broken = None;
        for request in group {
            if let Some((outcome, answer)) = self.change(request, &mut later) {
                match outcome {
                    Ok(()) => {
                        changed = true;
                        answers.push(answer);
                    }
                    Err(error) => {
                        if self.store.is_none() {
                            broken = Some(error.clone());
                        }
                        answer(Err(error));
                    }
                }
            }
        }
        let mut committed = if changed { self.with(|store, _| store.flush()) } else { Ok(()) };
        if let (Ok(()), Some(error)) = (&committed, broken) {
            // What the failure took along was never flushed, whatever a store opened since says.
            committed = Err(error);
        }
        self.publish();
        for answer in answers {
            answer(committed.clone());
        }
        later.into_iter().any(|request| self.read(request))
    }

    /// Applies a change in memory and hands its answer back for later; readings are put aside.
    fn change(&mut self, request: Request, later: &mut Vec<Request>) -> Option<(Result<(), PendingError>, Answer)> {
        match request {
            Request::Add { sheets, reply } => {
                let (count, shared) = (sheets.len() as u64, Arc::clone(&self.shared));
                let outcome = self.room_on_disk().and_then(|()| self.with(|store, now| store.add(sheets, now)));
                let answer = move |committed: Result<(), PendingError>| {
                    if committed.is_err() {
                        shared.count_refused(count);
                    }
                    let _ = reply.send(committed);
                };
                Some((outcome, Box::new(answer)))
            }
            Request::Acknowledge { sequence, reply } => Some((self.with(|store, _| store.acknowledge(sequence)), answer(reply, ()))),
            Request::TakeVerdicts { verdicts, reply } => match self.with(|store, _| store.take_verdicts(verdicts)) {
                Ok(taken) => Some((Ok(()), answer(reply, taken))),
                Err(error) => Some((Err(error), answer(reply, Vec::new()))),
            },
            Request::RenewEpoch { reply } => Some((self.renew_epoch(), answer(reply, ()))),
            reading => {
                later.push(reading);
                None
            }
        }
    }

    /// Answers a reading; true for the request to close.
    fn read(&mut self, request: Request) -> bool {
        match request {
            Request::HandOut { after, count_max, bytes_max, reply } => {
                let _ = reply.send(self.with(|store, _| store.hand_out(after, count_max, bytes_max)));
            }
            Request::Verdict { file, reply } => {
                let _ = reply.send(self.with(|store, _| store.verdict(&file)));
            }
            Request::VerdictsAfter { after, max, reply } => {
                let _ = reply.send(self.with(|store, _| store.verdicts_after(after, max)));
            }
            Request::Close { reply } => {
                self.close();
                let _ = reply.send(Ok(()));
                return true;
            }
            Request::Add { .. } | Request::Acknowledge { .. } | Request::TakeVerdicts { .. } | Request::RenewEpoch { .. } => {}
        }
        false
    }

    /// Runs something on the open store, opening it first if need be. sled's failures and panics close it.
    fn with<T>(&mut self, act: impl FnOnce(&mut Store, i64) -> Result<T, Fault>) -> Result<T, PendingError> {
        self.reopen()?;
        let now = self.clock.now_micros();
        let store = self.store.as_mut().expect("it was opened a line above");
        let why = match catch_unwind(AssertUnwindSafe(|| act(store, now))) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(Fault::Refused(error))) => return Err(error),
            Ok(Err(fault)) => fault.to_string(),
            Err(panic) => panic_text(panic.as_ref()),
        };
        tracing::error!(reason = "pending_broken", why, "the store of unsent reports failed; it is opened again with the next request");
        self.fail(why.clone());
        Err(PendingError::Broken { why })
    }

    fn reopen(&mut self) -> Result<(), PendingError> {
        if self.store.is_some() {
            return Ok(());
        }
        if let Some((why, at)) = &self.failed
            && at.elapsed() < Duration::from_millis(REOPEN_PAUSE_MS)
        {
            return Err(PendingError::Broken { why: why.clone() });
        }
        let mut recoveries = Vec::new();
        let opened = self.open(&mut recoveries);
        recoveries.into_iter().for_each(|recovery| self.shared.recovered(recovery));
        opened.map_err(|error| self.not_open(&error))
    }

    fn open(&mut self, recoveries: &mut Vec<Recovery>) -> Result<(), OpenError> {
        let unusable = |source| OpenError::Folder { folder: self.folder.path().to_owned(), source };
        if self.lock.is_none() {
            self.folder.make().map_err(unusable)?;
            let lock = InstanceLock::take(&self.folder.lock()).map_err(|error| match error {
                LockError::Held => OpenError::InUse(self.folder.path().to_owned()),
                LockError::Io(source) => unusable(source),
            })?;
            self.lock = Some(lock);
        }
        let opening = Opening { folder: &self.folder, limits: self.limits, clock: &self.clock, mint_epoch: self.mint_epoch };
        let store = opening.open(recoveries).map_err(unusable)?;
        self.shared.disk_bytes(store.disk_bytes().unwrap_or_default());
        self.store = Some(store);
        self.failed = None;
        self.publish();
        Ok(())
    }

    fn not_open(&mut self, error: &OpenError) -> PendingError {
        self.fail(error.to_string());
        PendingError::Broken { why: error.to_string() }
    }

    fn fail(&mut self, why: String) {
        self.close();
        self.failed = Some((why, Instant::now()));
        self.shared.failed();
    }

    /// Lets go of the store. sled joins its threads here and may panic over one that died.
    fn close(&mut self) {
        if let Some(store) = self.store.take()
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(store)))
        {
            tracing::warn!(reason = "pending_broken", why = panic_text(panic.as_ref()), "closing the store of unsent reports failed");
        }
    }

    fn room_on_disk(&self) -> Result<(), PendingError> {
        // A file system that will not say how full it is may still take the report; if not, sled says so.
        match self.folder.free_bytes() {
            Ok(free) if free < self.limits.free_bytes_min => {
                Err(PendingError::DiskFull { folder: self.folder.path().to_owned(), free, needed: self.limits.free_bytes_min })
            }
            _ => Ok(()),
        }
    }

    fn close_windows(&mut self) -> bool {
        let due = self.store.as_ref().and_then(Store::next_window_close).is_some();
        due && self.with(|store, now| store.close_windows(now)).unwrap_or(false)
    }

    /// A new name for the store: the CMS has acknowledged more under the old one than was ever sent from here.
    fn renew_epoch(&mut self) -> Result<(), PendingError> {
        let (mint, path) = (self.mint_epoch, self.folder.generation());
        self.with(|store, _| {
            let generation = super::generation::Generation { epoch: mint()?, ..store.generation() };
            store.note_generation(generation)?;
            store.seal();
            store.flush()?;
            Ok(generation.write(&path)?)
        })
    }

    fn publish(&mut self) {
        let Some(store) = &mut self.store else { return };
        if let Some(unreadable) = store.take_unreadable() {
            self.shared.recovered(unreadable);
        }
        self.shared.publish(store.generation(), store.tally(), store.last_sequence());
    }

    fn compact_if_due(&mut self) {
        if self.compaction_checked.elapsed() < Duration::from_millis(COMPACT_CHECK_MS) || self.store.is_none() {
            return;
        }
        self.compaction_checked = Instant::now();
        let disk = self.with(|store, _| Ok((store.disk_bytes()?, store.wants_compaction()?)));
        if let Ok((bytes, wanted)) = disk {
            self.shared.disk_bytes(bytes);
            if wanted {
                // Opening compacts.
                self.close();
                let _ = self.reopen();
            }
        }
    }

    /// Opens the store for the first time, so that whoever starts the agent hears of it. What passes by itself, like a full disk, is no
    /// error: the store stays closed, every request says why, and opening is tried again as after a failure.
    pub(super) fn start(&mut self) -> Result<Started, OpenError> {
        let mut recovered = Vec::new();
        let closed = match self.open(&mut recovered) {
            Ok(()) => None,
            Err(OpenError::Folder { source, .. }) if !passes(&source) => {
                return Err(OpenError::Folder { folder: self.folder.path().to_owned(), source });
            }
            Err(error @ OpenError::Folder { .. }) => Some(self.not_open(&error)),
            Err(error) => return Err(error),
        };
        Ok(Started { recovered, closed })
    }
}

/// How a first opening went.
pub(super) struct Started {
    pub(super) recovered: Vec<Recovery>,
    /// Why the store is closed for now.
    pub(super) closed: Option<PendingError>,
}

fn answer<T: 'static>(reply: Reply<T>, value: T) -> Answer {
    Box::new(move |committed| {
        // Whoever asked may have given up; the commit stands all the same.
        let _ = reply.send(committed.map(|()| value));
    })
}

/// Names a recovery in the log once.
pub(super) fn log(recovery: &Recovery) {
    tracing::error!(reason = recovery.reason(), "{recovery}");
}

#[cfg(test)]
mod tests {
    use doorward_policy::PathBytes;
    use doorward_proto::report::{Coverage, ReportBody};

    use super::super::record::Record;
    use super::*;

    fn sheet(place: &str) -> Sheet {
        let coverage = Coverage { covered: vec![PathBytes::new(place)], ..Coverage::default() };
        Sheet::new(Record::from(ReportBody::Coverage(coverage)))
    }

    #[test]
    fn a_panic_inside_sled_fails_one_commit_and_the_store_goes_on() {
        let temporary = tempfile::tempdir().unwrap();
        let (_sender, requests) = mpsc::channel(1);
        let mut worker = Worker {
            store: None,
            lock: None,
            requests,
            folder: Folder::at(temporary.path()),
            limits: Limits { free_bytes_min: 0, ..Limits::default() },
            clock: Clock::standing(1),
            mint_epoch: || Ok([1; 16]),
            shared: Arc::new(Shared::new()),
            failed: None,
            compaction_checked: Instant::now(),
        };
        assert_eq!(worker.start().unwrap().recovered, []);
        worker.with(|store, now| store.add(vec![sheet("/")], now).and_then(|()| store.flush())).unwrap();
        let error = worker.with::<()>(|_, _| panic!("tried to serialize Uninitialized")).unwrap_err();
        assert!(matches!(&error, PendingError::Broken { why } if why.contains("Uninitialized")), "{error}");
        assert!(!worker.shared.gauges().is_healthy);
        assert!(worker.with(|_, _| Ok(())).is_err(), "not at once again");
        worker.failed.as_mut().unwrap().1 -= Duration::from_millis(REOPEN_PAUSE_MS);
        let kept = worker.with(|store, _| store.hand_out(0, usize::MAX, usize::MAX)).unwrap();
        assert_eq!(kept.len(), 1);
        assert!(worker.shared.gauges().is_healthy);
        assert_eq!(worker.shared.take_recoveries(), []);
    }
}
