//! The time of day as a parameter: microseconds since 1970, UTC. Only this file asks the machine for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a part of a program gets the time of day from. Cheap to clone; clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still at the given microseconds until a test moves it with [`Self::set`] or [`Self::advance`].
    #[must_use]
    pub fn standing(at: i64) -> Self {
        Self(Some(Arc::new(AtomicI64::new(at))))
    }

    /// Microseconds since 1970, UTC; negative before.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where the time of day comes from")]
    pub fn now_micros(&self) -> i64 {
        match &self.0 {
            Some(standing) => standing.load(Ordering::SeqCst),
            None => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
                Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
            },
        }
    }

    /// Moves a standing clock; the machine's clock is not ours to move and stays.
    pub fn set(&self, at: i64) {
        if let Some(standing) = &self.0 {
            standing.store(at, Ordering::SeqCst);
        }
    }

    /// Moves a standing clock on by so many microseconds.
    pub fn advance(&self, micros: i64) {
        if let Some(standing) = &self.0 {
            standing.fetch_add(micros, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn a_standing_clock_moves_only_when_it_is_moved() {
        let clock = Clock::standing(5);
        let same = clock.clone();
        clock.advance(10);
        assert_eq!((clock.now_micros(), same.now_micros()), (15, 15));
        same.set(-3);
        assert_eq!(clock.now_micros(), -3);
    }

    #[test]
    fn the_machines_clock_cannot_be_moved() {
        let clock = Clock::system();
        let before = clock.now_micros();
        clock.set(0);
        assert!(clock.now_micros() >= before, "a machine whose clock runs backwards would fail here, and should");
    }
}
