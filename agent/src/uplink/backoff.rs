//! How long to wait before the next connection: random, so that a fleet does not come back at one moment, and longer each time.

use std::time::Duration;

/// Doublings after which the bound is reached whatever it is; more would overflow.
const DOUBLINGS_MAX: u32 = 20;

/// The pauses between connections.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    dice: fn() -> u64,
    attempts: u32,
}

impl Backoff {
    /// Pauses from `min` to `max`; `dice` gives any 64 random bits.
    pub(super) fn new(min: Duration, max: Duration, dice: fn() -> u64) -> Self {
        Self { min, max: max.max(min), dice, attempts: 0 }
    }

    /// Connections that failed since the last good one.
    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Forgets the failures: the last connection was a good one.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// After a failure that time may heal: from `min` to twice as much as last time, at most `max`.
    pub(super) fn pause(&mut self) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        let ceiling = self.min.saturating_mul(1 << self.attempts.min(DOUBLINGS_MAX)).min(self.max);
        self.between(self.min, ceiling)
    }

    /// After a failure that only a person heals: near `max` from the first time on.
    pub(super) fn long_pause(&mut self) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        self.between((self.max / 2).max(self.min), self.max)
    }

    fn between(&self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_micros()).unwrap_or(u64::MAX);
        low + Duration::from_micros((self.dice)() % span.saturating_add(1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const MIN: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(300);

    fn dice() -> u64 {
        static STATE: AtomicU64 = AtomicU64::new(0);
        let state = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn pauses_stay_within_bounds_grow_and_differ() {
        let mut pauses = Vec::new();
        for _ in 0..200 {
            let mut backoff = Backoff::new(MIN, MAX, dice);
            for attempt in 1..=40 {
                let pause = backoff.pause();
                assert!((MIN..=MAX).contains(&pause) && pause <= MIN * 2_u32.saturating_pow(attempt.min(30)), "{attempt}: {pause:?}");
                assert_eq!(backoff.attempts(), attempt);
            }
            pauses.push(backoff.pause());
        }
        pauses.sort();
        assert!(pauses[20] < MAX / 4 && pauses[180] > MAX / 4 * 3, "spread over the whole range: {:?} {:?}", pauses[20], pauses[180]);
        pauses.dedup();
        assert!(pauses.len() > 190);
    }

    #[test]
    fn a_good_connection_starts_over_and_a_refusal_waits_long_at_once() {
        let mut backoff = Backoff::new(MIN, MAX, dice);
        assert!(backoff.long_pause() >= MAX / 2);
        for _ in 0..10 {
            let _ = backoff.pause();
        }
        backoff.reset();
        assert!(backoff.pause() <= MIN * 2);
    }

    #[test]
    fn odd_bounds_are_survived() {
        assert_eq!(Backoff::new(MIN, Duration::ZERO, dice).pause(), MIN);
        assert_eq!(Backoff::new(Duration::ZERO, Duration::ZERO, dice).long_pause(), Duration::ZERO);
        let mut endless = Backoff::new(Duration::MAX, Duration::MAX, || 0);
        assert_eq!(endless.pause(), Duration::MAX);
    }
}
