//! When the guard loses patience. Only counts; the time comes in, and nobody is killed here.
//!
//! Silence is measured in time during which the guard itself ran. A machine that was paused, or an older kind of control
//! group that was frozen, stops agent and guard alike: the first look afterwards sees an old count and proves nothing.

use super::duty::LOOK_MS;

/// A pause between two looks from which on the guard itself was not running. One such pause in a silence starts the count anew;
/// further ones do not, or a machine too busy to run the guard on time would keep a dead agent for ever.
const PAUSE_MS: u64 = 4 * LOOK_MS;
/// Most that the time between two looks counts for.
const LOOK_WORTH_MAX_MS: u64 = 2 * LOOK_MS;

/// What has been seen of the agent.
#[derive(Debug)]
pub(super) struct Vigil {
    period_ms: u64,
    beats: u64,
    looked_ms: u64,
    silent_ms: u64,
    is_pardoned: bool,
}

impl Vigil {
    /// Begins at `now_ms` with a silence of nothing.
    pub(super) const fn new(period_ms: u64, now_ms: u64) -> Self {
        Self { period_ms, beats: 0, looked_ms: now_ms, silent_ms: 0, is_pardoned: false }
    }

    /// One look at `now_ms`; true when the silence has lasted for the period.
    pub(super) const fn look(&mut self, now_ms: u64, is_armed: bool, beats: u64) -> bool {
        let since_ms = now_ms.saturating_sub(self.looked_ms);
        self.looked_ms = now_ms;
        if !is_armed || beats != self.beats {
            self.beats = beats;
            self.silent_ms = 0;
            self.is_pardoned = false;
            return false;
        }
        if since_ms >= PAUSE_MS && !self.is_pardoned {
            self.silent_ms = 0;
            self.is_pardoned = true;
            return false;
        }
        let worth_ms = if since_ms < LOOK_WORTH_MAX_MS { since_ms } else { LOOK_WORTH_MAX_MS };
        self.silent_ms = self.silent_ms.saturating_add(worth_ms);
        self.silent_ms >= self.period_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD_MS: u64 = 5_000;

    /// Looks at the usual pace from `from_ms` on, for at most a minute; returns when patience was lost.
    fn lost_at(vigil: &mut Vigil, from_ms: u64, pace_ms: u64, beats: u64) -> Option<u64> {
        (1..=60_000 / pace_ms).map(|look| from_ms + look * pace_ms).find(|now_ms| vigil.look(*now_ms, true, beats))
    }

    #[test]
    fn silence_is_fatal_after_the_period_and_not_before() {
        let mut vigil = Vigil::new(PERIOD_MS, 0);
        assert!(!vigil.look(LOOK_MS, true, 7), "the last beat");
        assert_eq!(lost_at(&mut vigil, LOOK_MS, LOOK_MS, 7), Some(LOOK_MS + PERIOD_MS));
    }

    #[test]
    fn an_agent_that_never_beat_after_arming_is_silent_too() {
        let mut vigil = Vigil::new(PERIOD_MS, 0);
        assert_eq!(lost_at(&mut vigil, 0, LOOK_MS, 0), Some(PERIOD_MS));
    }

    #[test]
    fn one_beat_starts_the_count_anew() {
        let mut vigil = Vigil::new(PERIOD_MS, 0);
        for look in 1..20 {
            assert!(!vigil.look(look * LOOK_MS, true, 1));
        }
        assert!(!vigil.look(20 * LOOK_MS, true, 2));
        assert_eq!(lost_at(&mut vigil, 20 * LOOK_MS, LOOK_MS, 2), Some(20 * LOOK_MS + PERIOD_MS));
    }

    #[test]
    fn disarmed_silence_counts_for_nothing() {
        let mut vigil = Vigil::new(PERIOD_MS, 0);
        for look in 1..1_000 {
            assert!(!vigil.look(look * LOOK_MS, false, 0));
        }
        assert_eq!(lost_at(&mut vigil, 999 * LOOK_MS, LOOK_MS, 0), Some(999 * LOOK_MS + PERIOD_MS));
    }

    #[test]
    fn a_guard_that_was_paused_gives_the_agent_the_whole_period_again() {
        let mut vigil = Vigil::new(PERIOD_MS, 0);
        for look in 1..20 {
            assert!(!vigil.look(look * LOOK_MS, true, 0));
        }
        let hour_later = 3_600_000;
        assert!(!vigil.look(hour_later, true, 0), "the first look after waking");
        assert_eq!(lost_at(&mut vigil, hour_later, LOOK_MS, 0), Some(hour_later + PERIOD_MS));
    }

    #[test]
    fn a_guard_that_hardly_gets_to_run_still_loses_patience() {
        let mut vigil = Vigil::new(PERIOD_MS, 0);
        let slow_ms = PAUSE_MS + 100;
        let looks = 1 + PERIOD_MS / LOOK_WORTH_MAX_MS;
        assert_eq!(lost_at(&mut vigil, 0, slow_ms, 0), Some(looks * slow_ms), "one look pardoned, then each worth its most");
    }

    #[test]
    fn a_clock_that_stands_still_proves_nothing() {
        let mut vigil = Vigil::new(PERIOD_MS, 0);
        assert!((0..1_000).all(|_| !vigil.look(0, true, 0)));
    }
}
