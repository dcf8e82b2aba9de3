//! What the contract allows: well-formed hashes per UTC day and per UTC month.
//!
//! Counts as the provider documents: each valid hash of an answered question, UNKNOWN ones included; questions that
//! were refused are free. The clock is a parameter.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// `None` is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuotaLimit {
    pub(crate) daily: Option<u64>,
    pub(crate) monthly: Option<u64>,
}

/// The ledger of one account.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    pub(crate) limit: QuotaLimit,
    /// The day the counts are of; it only moves forward, so a clock that steps back resets nothing.
    day: Option<Date>,
    used_today: u64,
    used_this_month: u64,
}

/// A limit was reached before the question; the provider answers 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl Quota {
    /// Charges a question, or refuses it when a limit was already reached. A question that begins below the limit is
    /// answered whole, so the count may end above it.
    pub(crate) fn charge(&mut self, hashes: u64, now: Timestamp) -> Result<(), UsedUp> {
        self.turn_to(now);
        let reached = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
        if reached(self.used_today, self.limit.daily) || reached(self.used_this_month, self.limit.monthly) {
            return Err(UsedUp);
        }
        self.used_today += hashes;
        self.used_this_month += hashes;
        Ok(())
    }

    /// Since 00:00 UTC, and since 00:00 UTC on the first of the month.
    pub(crate) fn used(&mut self, now: Timestamp) -> (u64, u64) {
        self.turn_to(now);
        (self.used_today, self.used_this_month)
    }

    /// As if nothing had been asked yet; the limits stay.
    pub(crate) fn clear(&mut self) {
        *self = Self { limit: self.limit, ..Self::default() };
    }

    fn turn_to(&mut self, now: Timestamp) {
        let today = now.to_zoned(TimeZone::UTC).date();
        let Some(day) = self.day.filter(|day| *day < today) else {
            self.day.get_or_insert(today);
            return;
        };
        self.used_today = 0;
        if (day.year(), day.month()) != (today.year(), today.month()) {
            self.used_this_month = 0;
        }
        self.day = Some(today);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn quota(daily: Option<u64>, monthly: Option<u64>) -> Quota {
        Quota { limit: QuotaLimit { daily, monthly }, ..Quota::default() }
    }

    #[test]
    fn the_day_ends_at_midnight_utc() {
        let mut quota = quota(Some(100), None);
        assert_eq!(quota.charge(97, at("2026-03-10T23:59:00Z")), Ok(()));
        assert_eq!(quota.charge(50, at("2026-03-10T23:59:30Z")), Ok(()));
        assert_eq!(quota.charge(1, at("2026-03-10T23:59:59.999Z")), Err(UsedUp));
        // Still the tenth in UTC, although the eleventh has begun in Zagreb.
        assert_eq!(quota.charge(1, at("2026-03-11T00:59:59+01:00")), Err(UsedUp));
        assert_eq!(quota.charge(1, at("2026-03-11T00:00:00Z")), Ok(()));
        assert_eq!(quota.used(at("2026-03-11T00:00:00Z")), (1, 148));
    }

    #[test]
    fn the_month_outlasts_the_day_and_ends_on_the_first() {
        let mut quota = quota(None, Some(10));
        assert_eq!(quota.charge(10, at("2026-03-30T12:00:00Z")), Ok(()));
        assert_eq!(quota.charge(1, at("2026-03-31T12:00:00Z")), Err(UsedUp));
        assert_eq!(quota.charge(1, at("2026-04-01T00:00:00Z")), Ok(()));
        // The same month of another year is another month.
        assert_eq!(quota.used(at("2027-04-01T00:00:00Z")), (0, 0));
    }

    #[test]
    fn a_clock_that_steps_back_resets_nothing() {
        let mut quota = quota(Some(1), None);
        assert_eq!(quota.charge(1, at("2026-03-11T00:00:01Z")), Ok(()));
        assert_eq!(quota.charge(1, at("2026-03-10T23:59:59Z")), Err(UsedUp));
        assert_eq!(quota.used(at("2026-03-11T00:00:02Z")), (1, 1));
    }

    #[test]
    fn clearing_keeps_the_limits() {
        let mut quota = quota(Some(1), None);
        let now = at("2026-03-11T00:00:00Z");
        assert_eq!(quota.charge(1, now), Ok(()));
        quota.clear();
        assert_eq!(quota.charge(1, now), Ok(()));
        assert_eq!(quota.charge(1, now), Err(UsedUp));
    }
}
