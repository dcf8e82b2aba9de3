//! What everybody may read of the store without asking its thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use super::error::Recovery;
use super::generation::Generation;
use super::store::Tally;

/// Recoveries kept for whoever reports them; older ones were logged.
const RECOVERIES_MAX: usize = 16;

/// The store in numbers, as of its last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauges {
    /// Reports not yet acknowledged, those held back for counting included.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Files that were executed or loaded here and whose verdict is awaited.
    pub awaiting: u64,
    /// Files with a verdict.
    pub verdicts: u64,
    /// Reports given up since the store was made: pushed out by more important ones, or unreadable.
    pub dropped: u64,
    /// Reports refused since start: no room, or the store was broken. Whoever brought them may bring them again, so this is no loss.
    pub refused: u64,
    /// Bytes on disk at the last look; sled needs a multiple of what lives in it.
    pub disk_bytes: u64,
    /// Sequence of the newest report on disk; what is acknowledged up to here was all there was.
    pub last_sequence: u64,
    /// The store is open and took its last commit.
    pub is_healthy: bool,
}

impl Gauges {
    /// Reports that nobody will ever see: those dropped here, and `given_up` by whoever brought them.
    #[must_use]
    pub const fn lost(&self, given_up: u64) -> u64 {
        self.dropped.saturating_add(given_up)
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    records: AtomicU64,
    bytes: AtomicU64,
    awaiting: AtomicU64,
    verdicts: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    disk_bytes: AtomicU64,
    healthy: AtomicBool,
    epoch: RwLock<[u8; 16]>,
    recoveries: Mutex<Vec<Recovery>>,
    last_sequence: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            records: AtomicU64::default(),
            bytes: AtomicU64::default(),
            awaiting: AtomicU64::default(),
            verdicts: AtomicU64::default(),
            dropped: AtomicU64::default(),
            refused: AtomicU64::default(),
            disk_bytes: AtomicU64::default(),
            healthy: AtomicBool::default(),
            epoch: RwLock::default(),
            recoveries: Mutex::default(),
            last_sequence: watch::Sender::new(0),
        }
    }

    pub(super) fn publish(&self, generation: Generation, tally: Tally, last_sequence: u64) {
        self.records.store(tally.records, Relaxed);
        self.bytes.store(tally.bytes, Relaxed);
        self.awaiting.store(tally.awaiting, Relaxed);
        self.verdicts.store(tally.verdicts, Relaxed);
        self.dropped.store(tally.dropped, Relaxed);
        self.healthy.store(true, Relaxed);
        *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = generation.epoch;
        self.last_sequence.send_if_modified(|last| std::mem::replace(last, last_sequence) != last_sequence);
    }

    pub(super) fn failed(&self) {
        self.healthy.store(false, Relaxed);
    }

    pub(super) fn count_refused(&self, count: u64) {
        self.refused.fetch_add(count, Relaxed);
    }

    pub(super) fn disk_bytes(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Relaxed);
    }

    pub(super) fn recovered(&self, recovery: Recovery) {
        super::worker::log(&recovery);
        let mut recoveries = self.recoveries.lock().unwrap_or_else(PoisonError::into_inner);
        if recoveries.len() < RECOVERIES_MAX {
            recoveries.push(recovery);
        }
    }

    pub(super) fn take_recoveries(&self) -> Vec<Recovery> {
        std::mem::take(&mut self.recoveries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn epoch(&self) -> [u8; 16] {
        *self.epoch.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrivals(&self) -> watch::Receiver<u64> {
        self.last_sequence.subscribe()
    }

    pub(super) fn gauges(&self) -> Gauges {
        Gauges {
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            awaiting: self.awaiting.load(Relaxed),
            verdicts: self.verdicts.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            refused: self.refused.load(Relaxed),
            disk_bytes: self.disk_bytes.load(Relaxed),
            last_sequence: *self.last_sequence.borrow(),
            is_healthy: self.healthy.load(Relaxed),
        }
    }
}
