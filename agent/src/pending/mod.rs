//! Reports that wait for the management server, on disk in sled, and what the server answered about single files.
//!
//! `add` returns when the report would survive a power cut. All sled calls happen on one thread of the store's own ([`worker`]), so
//! no task ever waits inside sled, and its panics end nothing but a commit. What sled 0.34 does not do by itself is done around it:
//! real fsyncs (`system::fsync`), quarantine and emptiness checks ([`open`]), compaction, small values ([`key`]). Everything kept
//! here can be reported again or asked for again; the policy, which cannot, is in `list`. `uplink` takes it from here.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use doorward_policy::Sha256;
use doorward_proto::report::{Report, ReportBody};
use doorward_proto::uplink::Verdict;
use doorward_service::clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::system::fsync;

mod collapse;
mod error;
mod folder;
mod generation;
mod key;
pub mod limit;
mod open;
mod record;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod worker;

pub use error::{OpenError, PendingError, Recovery};
pub use limit::Limits;
pub use shared::Gauges;

use folder::Folder;
use record::Record;
use shared::Shared;
use store::Sheet;
use worker::{Request, Started, Worker};

/// Stack of the store's thread; sled recurses little, but its buffers are generous.
const STACK_BYTES: usize = 4 << 20;

/// Verdicts read at once when all of them are wanted.
const VERDICTS_PAGE: usize = 1_024;

/// What the store needs from its surroundings.
#[derive(Clone)]
pub struct Options {
    /// Bounds.
    pub limits: Limits,
    /// Times of waiting files, ends of counting windows, names of quarantined stores.
    pub clock: Clock,
    /// Makes the random name of a new store; [`random_epoch`] outside tests.
    pub mint_epoch: fn() -> io::Result<[u8; 16]>,
}

/// An open store, and what had to be done to open it.
pub struct Opened {
    /// The store.
    pub pending: Pending,
    /// Empty when all was well. Logged already; to be counted and reported.
    pub recovered: Vec<Recovery>,
    /// Why nothing can be kept for now, a full disk for one. Logged already. Requests fail until opening succeeds, which every request
    /// tries again; what was kept before is not lost.
    pub closed: Option<PendingError>,
}

/// A handle to the store; clones share it. The store closes when the last one is gone, or with [`Pending::close`].
#[derive(Clone)]
pub struct Pending {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
}

/// 16 bytes from the system's random generator.
///
/// # Errors
/// When the system has none to give.
pub fn random_epoch() -> io::Result<[u8; 16]> {
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(epoch)
}

impl Pending {
    /// Opens the store in `folder`, or begins one. Blocks for as long as recovery takes, at most [`limit::OPEN_DEADLINE_MS`].
    ///
    /// # Errors
    /// [`OpenError`] when there can be no store now. A damaged one is no error: see [`Opened::recovered`].
    pub fn open(folder: &Path, options: Options) -> Result<Opened, OpenError> {
        if !fsync::flush_means_fsync() {
            return Err(OpenError::UnsafeBuild);
        }
        let folder = Folder::at(folder);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(OpenError::Thread)?;
        let (sender, requests) = mpsc::channel(limit::REQUESTS_MAX);
        let shared = Arc::new(Shared::new());
        let mut worker = Worker {
            folder: folder.clone(),
            limits: options.limits,
            clock: options.clock,
            mint_epoch: options.mint_epoch,
            shared: Arc::clone(&shared),
            requests,
            store: None,
            failed: None,
            compaction_checked: Instant::now(),
            lock: None,
        };
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let life = move || {
            let outcome = worker.start();
            if outcome.is_err() {
                // Whoever hears of it finds the folder unlocked.
                drop(worker);
                let _ = started.send(outcome);
                return;
            }
            // Nobody listens any more when opening took too long; then the channel of requests is closed too.
            if started.send(outcome).is_ok() {
                worker.run(&runtime);
            }
        };
        thread::Builder::new().name("pending".into()).stack_size(STACK_BYTES).spawn(life).map_err(OpenError::Thread)?;
        match start.recv_timeout(Duration::from_millis(limit::OPEN_DEADLINE_MS)) {
            Ok(Ok(Started { recovered, closed })) => {
                recovered.iter().for_each(worker::log);
                if let Some(error) = &closed {
                    tracing::error!(reason = error.reason(), %error, "reports cannot be kept for now; opening is tried again and again");
                }
                Ok(Opened { pending: Self { requests: sender, shared }, recovered, closed })
            }
            Ok(Err(error)) => Err(error),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Err(OpenError::TooSlow(folder.path().to_owned())),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err(OpenError::Thread(io::Error::other("the thread ended early"))),
        }
    }

    /// Keeps a report; on disk when this returns. Occurrences of the same thing within a minute are counted together.
    ///
    /// # Errors
    /// [`PendingError`] when it could not be kept; the caller counts it, or tries again.
    pub async fn add(&self, body: ReportBody) -> Result<(), PendingError> {
        self.add_many(vec![body]).await
    }

    /// Keeps reports with one commit: all of them or, on an error, none.
    ///
    /// # Errors
    /// As [`Pending::add`]; [`PendingError::TooLarge`] for more than [`limit::ADD_BODIES_MAX`].
    pub async fn add_many(&self, bodies: Vec<ReportBody>) -> Result<(), PendingError> {
        let sheets = sheets(bodies)?;
        self.ask(|reply| Request::Add { sheets, reply }).await
    }

    /// As [`Pending::add_many`], for worker threads. Never call it on a thread that runs tasks.
    ///
    /// # Errors
    /// As [`Pending::add_many`].
    pub fn add_many_blocking(&self, bodies: Vec<ReportBody>) -> Result<(), PendingError> {
        let sheets = sheets(bodies)?;
        self.ask_blocking(|reply| Request::Add { sheets, reply })
    }

    /// As [`Pending::add`], for worker threads.
    ///
    /// # Errors
    /// As [`Pending::add`].
    pub fn add_blocking(&self, body: ReportBody) -> Result<(), PendingError> {
        self.add_many_blocking(vec![body])
    }

    /// Reports after a sequence in rising order, at least one if there is any, ending soon after `bytes_max` bytes. They never change
    /// once handed out.
    ///
    /// # Errors
    /// When the store is broken or closed.
    pub async fn batch(&self, after: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Report>, PendingError> {
        self.ask(|reply| Request::HandOut { after, count_max, bytes_max, reply }).await
    }

    /// Forgets everything up to and including `sequence`.
    ///
    /// # Errors
    /// [`PendingError::NotHandedOut`] for more than was ever handed out, in this run or an earlier one.
    pub async fn acknowledge(&self, sequence: u64) -> Result<(), PendingError> {
        self.ask(|reply| Request::Acknowledge { sequence, reply }).await
    }

    /// Keeps the verdicts that are newer than those it has, ends the waiting of files whose verdict is final, and gives back the
    /// newer ones.
    ///
    /// # Errors
    /// When the store is broken or closed.
    pub async fn take_verdicts(&self, verdicts: Vec<Verdict>) -> Result<Vec<Verdict>, PendingError> {
        self.ask(|reply| Request::TakeVerdicts { verdicts, reply }).await
    }

    /// The last verdict on a file.
    ///
    /// # Errors
    /// When the store is broken or closed.
    pub async fn verdict(&self, file: Sha256) -> Result<Option<Verdict>, PendingError> {
        self.ask(|reply| Request::Verdict { file, reply }).await
    }

    /// Every verdict there is, page by page, for whoever keeps some of them in memory. Blocks.
    ///
    /// # Errors
    /// When the store is broken or closed.
    pub fn each_verdict_blocking(&self, mut see: impl FnMut(Verdict)) -> Result<(), PendingError> {
        let mut after = None;
        loop {
            let (verdicts, last) = self.ask_blocking(|reply| Request::VerdictsAfter { after, max: VERDICTS_PAGE, reply })?;
            verdicts.into_iter().for_each(&mut see);
            match last {
                None => return Ok(()),
                last => after = last,
            }
        }
    }

    /// Gives the store a new random name, because the CMS knows the old one differently. What was acknowledged under the old name
    /// is gone already; the rest is sent under the new one.
    ///
    /// # Errors
    /// When the store is broken or closed.
    pub async fn renew_epoch(&self) -> Result<(), PendingError> {
        self.ask(|reply| Request::RenewEpoch { reply }).await
    }

    /// Opens the store if it is closed and that can be done now.
    ///
    /// # Errors
    /// When the store is broken or closed.
    pub async fn ready(&self) -> Result<(), PendingError> {
        self.batch(0, 0, 0).await.map(drop)
    }

    /// The store's random name; zeros before it was opened for the first time.
    #[must_use]
    pub fn epoch(&self) -> [u8; 16] {
        self.shared.epoch()
    }

    /// The store in numbers.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.shared.gauges()
    }

    /// Sequence of the newest report on disk, as it rises.
    #[must_use]
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.shared.arrivals()
    }

    /// What had to be recovered since this was asked last, after opening. Logged already.
    #[must_use]
    pub fn take_recoveries(&self) -> Vec<Recovery> {
        self.shared.take_recoveries()
    }

    /// Ends the thread after what was asked before. Later requests fail with [`PendingError::Closed`].
    pub async fn close(&self) {
        // The thread may be gone already, which is what is wanted.
        let _ = self.ask(|reply| Request::Close { reply }).await;
        self.requests.closed().await;
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, PendingError>>) -> Request) -> Result<T, PendingError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.requests.send(request(reply)).await.map_err(|_| PendingError::Closed)?;
            answer.await.map_err(|_| PendingError::Closed)?
        };
        tokio::time::timeout(Duration::from_millis(limit::REQUEST_DEADLINE_MS), asked).await.map_err(|_| PendingError::Timeout)?
    }

    /// Without a deadline: the thread answers whatever it takes, and a thread that waits here is watched by its own pulse.
    fn ask_blocking<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, PendingError>>) -> Request) -> Result<T, PendingError> {
        let (reply, answer) = oneshot::channel();
        self.requests.blocking_send(request(reply)).map_err(|_| PendingError::Closed)?;
        answer.blocking_recv().map_err(|_| PendingError::Closed)?
    }
}

fn sheets(bodies: Vec<ReportBody>) -> Result<Vec<Sheet>, PendingError> {
    if bodies.len() > limit::ADD_BODIES_MAX {
        return Err(PendingError::TooLarge { what: "number of reports", size: bodies.len(), max: limit::ADD_BODIES_MAX });
    }
    bodies.into_iter().map(|body| sheet(Record::from(body))).collect()
}

fn sheet(record: Record) -> Result<Sheet, PendingError> {
    let sheet = Sheet::new(record);
    let size = sheet.value.len();
    let max = limit::REPORT_BYTES_MAX;
    if size > max { Err(PendingError::TooLarge { what: "report in bytes", size, max }) } else { Ok(sheet) }
}
