//! What the uplink saw since the program started, for statistics and for people who look for trouble.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters; all only rise.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) connections_refused: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) sessions: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) clones: AtomicU64,
    pub(super) reports: AtomicU64,
}

impl Tally {
    /// Connections turned away because all places, or all of their host, were taken.
    #[must_use]
    pub fn connections_refused(&self) -> u64 {
        self.connections_refused.load(Relaxed)
    }

    /// Handshakes that failed or took too long; certificates of strangers among them.
    #[must_use]
    pub fn handshakes_failed(&self) -> u64 {
        self.handshakes_failed.load(Relaxed)
    }

    /// Streams that got as far as a welcome.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Relaxed)
    }

    /// Streams refused before a welcome: no certificate, removed host, other protocol.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Streams ended for a message that was malformed, over a limit, or out of turn.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Relaxed)
    }

    /// Streams ended because the host did not take what it was sent.
    #[must_use]
    pub fn slow(&self) -> u64 {
        self.slow.load(Relaxed)
    }

    /// Times a host turned out to live twice.
    #[must_use]
    pub fn clones(&self) -> u64 {
        self.clones.load(Relaxed)
    }

    /// Reports received, repeats included.
    #[must_use]
    pub fn reports(&self) -> u64 {
        self.reports.load(Relaxed)
    }

    pub(super) fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Relaxed);
    }
}
