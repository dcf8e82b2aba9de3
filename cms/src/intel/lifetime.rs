//! How long an answer stays fresh, by what it says. What is no longer fresh is asked again and still counts meanwhile.

use doorward_policy::reputation::TRUST_FACTOR_MAX;
use doorward_policy::{Class, Reputation};
use serde::Deserialize;

/// Part of a lifetime that chance adds or takes, so that answers of one scan are not all refreshed in one second.
const JITTER: f64 = 0.1;

/// Shortest lifetime used, whatever the configuration says: a second.
const LIFETIME_MIN_US: i64 = 1_000_000;

const HOUR_S: u32 = 3600;
const DAY_S: u32 = 24 * HOUR_S;

/// Lifetimes in seconds: the table `[intel.lifetimes]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetimes {
    /// Malicious, so that a cleared false positive is learnt of.
    pub malicious_s: u32,
    /// Suspicious for less than a day: the class that moves most.
    pub suspicious_first_day_s: u32,
    /// Suspicious for one to seven days.
    pub suspicious_first_week_s: u32,
    /// Suspicious for longer.
    pub suspicious_later_s: u32,
    /// Unknown for the first time; doubles with the time it stays so.
    pub unknown_min_s: u32,
    /// Unknown for at most two weeks.
    pub unknown_max_s: u32,
    /// Unknown for more than two weeks.
    pub unknown_later_s: u32,
    /// Known with trust factor 0 or 1.
    pub known_trusted_s: u32,
    /// Known with trust factor 2.
    pub known_usual_s: u32,
    /// Known with any other trust factor or none.
    pub known_untrusted_s: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            malicious_s: DAY_S,
            suspicious_first_day_s: HOUR_S,
            suspicious_first_week_s: 4 * HOUR_S,
            suspicious_later_s: DAY_S,
            unknown_min_s: HOUR_S,
            unknown_max_s: DAY_S,
            unknown_later_s: 7 * DAY_S,
            known_trusted_s: 7 * DAY_S,
            known_usual_s: 3 * DAY_S,
            known_untrusted_s: DAY_S,
        }
    }
}

impl Lifetimes {
    /// When an answer of `now` stops being fresh, in microseconds since 1970. `since` is when the provider first gave this class in
    /// an unbroken row; `chance` is in 0..1.
    #[must_use]
    pub fn fresh_until(&self, reputation: &Reputation, since: i64, now: i64, chance: f64) -> i64 {
        let age_s = u32::try_from(now.saturating_sub(since).max(0) / 1_000_000).unwrap_or(u32::MAX);
        let lifetime_s = f64::from(self.lifetime_s(reputation, age_s));
        let lifetime_us = lifetime_s * 1e6 * (1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0));
        // At most u32::MAX seconds times 1.1, which is far inside i64.
        now.saturating_add((lifetime_us as i64).max(LIFETIME_MIN_US))
    }

    fn lifetime_s(&self, reputation: &Reputation, age_s: u32) -> u32 {
        match reputation.class {
            Class::Malicious => self.malicious_s,
            Class::Suspicious if age_s < DAY_S => self.suspicious_first_day_s,
            Class::Suspicious if age_s < 7 * DAY_S => self.suspicious_first_week_s,
            Class::Suspicious => self.suspicious_later_s,
            // To wait as long as it has already been unknown is to double the wait each time.
            Class::Unknown if age_s < 14 * DAY_S => age_s.max(self.unknown_min_s).min(self.unknown_max_s.max(self.unknown_min_s)),
            Class::Unknown => self.unknown_later_s,
            Class::Known => match reputation.trust_factor {
                Some(0 | 1) => self.known_trusted_s,
                Some(TRUST_FACTOR_MAX) => self.known_usual_s,
                _ => self.known_untrusted_s,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000_000;

    fn hours(class: Class, trust_factor: Option<u8>, age_h: i64) -> f64 {
        let reputation = Reputation { class, trust_factor, threat_level: None, threat_name: None };
        let until = Lifetimes::default().fresh_until(&reputation, NOW - age_h * 3_600_000_000, NOW, 0.5);
        (until - NOW) as f64 / 3.6e9
    }

    #[test]
    fn every_class_has_its_lifetime() {
        let rows = [
            (Class::Malicious, None, 0, 24.0),
            (Class::Malicious, None, 10_000, 24.0),
            (Class::Suspicious, None, 0, 1.0),
            (Class::Suspicious, None, 23, 1.0),
            (Class::Suspicious, None, 24, 4.0),
            (Class::Suspicious, None, 7 * 24, 24.0),
            (Class::Unknown, None, 0, 1.0),
            (Class::Unknown, None, 1, 1.0),
            (Class::Unknown, None, 2, 2.0),
            (Class::Unknown, None, 4, 4.0),
            (Class::Unknown, None, 30, 24.0),
            (Class::Unknown, None, 14 * 24, 7.0 * 24.0),
            (Class::Known, Some(0), 0, 7.0 * 24.0),
            (Class::Known, Some(1), 0, 7.0 * 24.0),
            (Class::Known, Some(2), 0, 3.0 * 24.0),
            (Class::Known, Some(3), 0, 24.0),
            (Class::Known, Some(5), 0, 24.0),
            (Class::Known, None, 0, 24.0),
        ];
        for (class, trust_factor, age_h, expected) in rows {
            let got = hours(class, trust_factor, age_h);
            assert!((got - expected).abs() < 1e-6, "{class:?} {trust_factor:?} after {age_h} h: {got} h, not {expected} h");
        }
    }

    #[test]
    fn chance_moves_a_lifetime_by_a_tenth_at_most() {
        let reputation = Reputation { class: Class::Malicious, trust_factor: None, threat_level: None, threat_name: None };
        let hours = |chance| (Lifetimes::default().fresh_until(&reputation, NOW, NOW, chance) - NOW) as f64 / 3.6e9;
        assert!((hours(0.0) - 21.6).abs() < 1e-6 && (hours(1.0) - 26.4).abs() < 1e-6);
        assert!(hours(-9.0) >= 21.5 && hours(9.0) <= 26.5);
    }

    #[test]
    fn no_configuration_and_no_clock_makes_a_lifetime_of_nothing() {
        let reputation = Reputation { class: Class::Unknown, trust_factor: None, threat_level: None, threat_name: None };
        let zero = Lifetimes { unknown_min_s: 0, unknown_max_s: 0, unknown_later_s: 0, ..Lifetimes::default() };
        assert_eq!(zero.fresh_until(&reputation, NOW, NOW, 0.5), NOW + LIFETIME_MIN_US);
        assert!(Lifetimes::default().fresh_until(&reputation, i64::MAX, NOW, 0.5) > NOW, "a class that began in the future");
        assert_eq!(Lifetimes::default().fresh_until(&reputation, i64::MIN, i64::MAX, 1.0), i64::MAX);
    }
}
