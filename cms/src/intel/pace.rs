//! When the provider may be asked: back-off with jitter and circuit breaker in one. Pure: time and chance come in.
//!
//! After a failure nobody asks until the wait is over; then one question goes out as a probe, and only its answer opens the way
//! for the others. Failures that need a person wait long, and end at once when a person says so ([`Pace::resume`]).

use std::time::Duration;

use super::failure::{Failure, FailureKind};

/// Wait after the first failure; doubles with each.
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// Longest wait for what mends itself.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// Wait after a rate limit that names no time: it rarely ends within seconds.
const RATE_LIMIT_MIN: Duration = Duration::from_secs(10);

/// Wait when only a person can mend it. Few enough tries that no account is locked for them.
const STOPPED: Duration = Duration::from_secs(3600);

/// Whether to ask now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// As much as there are slots.
    Ask,
    /// One small question, to see whether the provider is back.
    Probe,
    /// Nothing before this time.
    Wait {
        /// Microseconds since 1970.
        until: i64,
        /// What the last failure was.
        after: FailureKind,
    },
    /// Nothing before the probe under way has come back.
    Hold,
}

/// The state between questions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pace {
    /// In a row.
    failures: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    Waiting {
        until: i64,
        after: FailureKind,
    },
    Probing,
}

impl Pace {
    /// Whether to ask at `now`. Changes nothing.
    #[must_use]
    pub const fn leave(&self, now: i64) -> Leave {
        match self.state {
            State::Open => Leave::Ask,
            State::Waiting { until, .. } if now >= until => Leave::Probe,
            State::Waiting { until, after } => Leave::Wait { until, after },
            State::Probing => Leave::Hold,
        }
    }

    /// A probe went out.
    pub const fn probe(&mut self) {
        self.state = State::Probing;
    }

    /// An answer came. True when the way is open because of it. While a wait runs it says nothing: its question left before the failure
    /// that made everybody wait, and only a probe that left after the wait ends it.
    pub const fn succeeded(&mut self) -> bool {
        let was_probing = matches!(self.state, State::Probing);
        if !matches!(self.state, State::Waiting { .. }) {
            self.failures = 0;
            self.state = State::Open;
        }
        was_probing
    }

    /// Whether nothing stands in the way.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// A question failed at `now`; returns when to try again. Questions that were under way together count as one failure.
    pub fn failed(&mut self, failure: &Failure, now: i64, chance: f64) -> i64 {
        if !matches!(self.state, State::Waiting { until, .. } if until > now) {
            self.failures = self.failures.saturating_add(1);
        }
        let until = now.saturating_add(i64::try_from(self.wait(failure, chance).as_micros()).unwrap_or(i64::MAX));
        let until = match self.state {
            State::Waiting { until: earlier, .. } => earlier.max(until),
            State::Open | State::Probing => until,
        };
        self.state = State::Waiting { until, after: failure.kind() };
        until
    }

    /// A person says that it is mended: the next question is a probe.
    pub const fn resume(&mut self, now: i64) {
        if let State::Waiting { after, .. } = self.state {
            self.state = State::Waiting { until: now, after };
        }
    }

    /// A question ended without a word. Had it been the probe, another one may follow.
    pub const fn lost(&mut self, now: i64) {
        if let State::Probing = self.state {
            self.state = State::Waiting { until: now, after: FailureKind::Unavailable };
        }
    }

    fn wait(&self, failure: &Failure, chance: f64) -> Duration {
        if failure.needs_a_person() {
            return STOPPED;
        }
        // What the provider asks for is the least: a header that says "at once", or a time that has passed, must not make a hot loop.
        let (floor, asked_for) = match failure {
            Failure::RateLimited { retry_after: Some(wait), .. } => (BACKOFF_MIN, *wait),
            Failure::RateLimited { retry_after: None, .. } => (RATE_LIMIT_MIN, Duration::ZERO),
            _ => (BACKOFF_MIN, Duration::ZERO),
        };
        let doubled = floor.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(BACKOFF_MAX);
        doubled.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0)).max(asked_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn down() -> Failure {
        Failure::Unavailable { host: "ti.example".into(), what: "HTTP 503".into() }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_one_probe_goes_at_a_time() {
        let mut pace = Pace::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let until = pace.failed(&down(), now, 1.0);
            waits.push((until - now) / S);
            assert_eq!(pace.leave(until - 1), Leave::Wait { until, after: FailureKind::Unavailable });
            assert_eq!(pace.leave(until), Leave::Probe);
            pace.probe();
            assert_eq!(pace.leave(until + 1), Leave::Hold, "one probe at a time");
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        pace.probe();
        assert!(pace.succeeded(), "it was down");
        assert_eq!(pace.leave(now), Leave::Ask);
        assert!(!pace.succeeded());
        assert_eq!(pace.failed(&down(), now, 1.0), now + S, "a success forgets the failures before it");
    }

    #[test]
    fn questions_that_fail_together_count_once() {
        let mut pace = Pace::default();
        let first = pace.failed(&down(), 0, 1.0);
        assert_eq!(pace.failed(&down(), 1000, 1.0), S + 1000);
        pace.probe();
        assert_eq!(pace.failed(&down(), first, 1.0), first + 2 * S);
    }

    #[test]
    fn chance_halves_a_wait_at_most() {
        assert_eq!(Pace::default().failed(&down(), 0, 0.0), S / 2);
    }

    #[test]
    fn a_rate_limit_waits_as_long_as_it_asks() {
        let limited = |retry_after| Failure::RateLimited { host: "ti.example".into(), retry_after };
        assert_eq!(Pace::default().failed(&limited(Some(Duration::from_secs(77))), 0, 0.3), 77 * S);
        assert_eq!(Pace::default().failed(&limited(None), 0, 1.0), 10 * S);
        let mut pace = Pace::default();
        pace.failed(&limited(Some(Duration::from_secs(77))), 0, 1.0);
        assert_eq!(pace.failed(&down(), 0, 1.0), 77 * S, "a shorter wait of a question under way does not cut it");
    }

    #[test]
    fn no_retry_after_makes_a_hot_loop() {
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        let mut now = 0;
        for _ in 0..10 {
            let limited = Failure::RateLimited { host: "ti.example".into(), retry_after: Some(Duration::ZERO) };
            let until = pace.failed(&limited, now, 1.0);
            waits.push((until - now) / S);
            pace.probe();
            now = until;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }

    #[test]
    fn an_answer_to_an_older_question_ends_no_wait() {
        let unauthorized = Failure::Unauthorized { host: "ti.example".into() };
        let limited = Failure::RateLimited { host: "ti.example".into(), retry_after: Some(Duration::from_secs(77)) };
        for failure in [unauthorized, limited, down()] {
            let mut pace = Pace::default();
            let until = pace.failed(&failure, 0, 1.0);
            assert!(!pace.succeeded() && !pace.is_open());
            assert_eq!(pace.leave(until - 1), Leave::Wait { until, after: failure.kind() });
            assert_eq!(pace.leave(until), Leave::Probe, "{failure:?}");
        }
    }

    #[test]
    fn what_needs_a_person_stops_until_the_person_comes() {
        let mut pace = Pace::default();
        let until = pace.failed(&Failure::Unauthorized { host: "ti.example".into() }, 0, 0.0);
        assert_eq!(until, 3600 * S);
        assert_eq!(pace.leave(5 * S), Leave::Wait { until, after: FailureKind::Unauthorized });
        pace.resume(5 * S);
        assert_eq!(pace.leave(5 * S), Leave::Probe);
    }

    #[test]
    fn a_probe_that_is_lost_does_not_close_the_way_for_ever() {
        let mut pace = Pace::default();
        pace.lost(0);
        assert_eq!(pace.leave(0), Leave::Ask, "an ordinary question says nothing about the provider");
        pace.failed(&down(), 0, 1.0);
        pace.probe();
        pace.lost(9);
        assert_eq!(pace.leave(9), Leave::Probe);
    }

    #[test]
    fn resuming_what_runs_changes_nothing() {
        let mut pace = Pace::default();
        pace.resume(9);
        assert_eq!(pace, Pace::default());
    }
}
