//! What was asked and how it went, since the program started. Read by the API's statistics; written by the engine.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::failure::FailureKind;
use super::provider::Cost;

/// Where the provider stands, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Health {
    /// Nothing was asked yet.
    Idle,
    /// The last question was answered.
    Working,
    /// The last question failed and another try follows by itself.
    BackingOff {
        /// What happened, with what to do.
        reason: String,
        /// Microseconds since 1970.
        retry_at: i64,
    },
    /// A person has to mend it; tried again rarely, or at once after a re-check was asked for.
    Stopped {
        /// What happened, with what to do.
        reason: String,
        /// Microseconds since 1970.
        retry_at: i64,
    },
    /// There is no provider.
    NotConfigured,
}

/// Counters and health.
#[derive(Debug)]
pub struct Tally {
    requests: AtomicU64,
    hashes: AtomicU64,
    unknown_statuses: AtomicU64,
    errors: [AtomicU64; FailureKind::ALL.len()],
    health: Mutex<Health>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            hashes: AtomicU64::new(0),
            unknown_statuses: AtomicU64::new(0),
            errors: Default::default(),
            health: Mutex::new(Health::Idle),
        }
    }
}

impl Tally {
    /// HTTP requests sent, failed ones included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Hashes in requests that were answered: what a quota counts.
    #[must_use]
    pub fn hashes(&self) -> u64 {
        self.hashes.load(Relaxed)
    }

    /// Answers whose status is none of the documented words; taken as unknown.
    #[must_use]
    pub fn unknown_statuses(&self) -> u64 {
        self.unknown_statuses.load(Relaxed)
    }

    /// Failures by [`FailureKind::word`]; kinds that never happened are left out.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        let counts = FailureKind::ALL.iter().zip(&self.errors).map(|(kind, count)| (kind.word(), count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Where the provider stands.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, cost: &Cost) {
        self.requests.fetch_add(cost.requests, Relaxed);
        self.hashes.fetch_add(cost.hashes, Relaxed);
        self.unknown_statuses.fetch_add(cost.unknown_statuses, Relaxed);
        cost.errors.iter().for_each(|kind| self.count(*kind, 1));
    }

    pub(super) fn count(&self, kind: FailureKind, times: u64) {
        let index = FailureKind::ALL.iter().position(|known| *known == kind).expect("ALL names every kind");
        self.errors[index].fetch_add(times, Relaxed);
    }

    pub(super) fn set_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_failure_has_a_counter_of_its_own() {
        let tally = Tally::default();
        assert!(tally.errors().is_empty());
        for kind in FailureKind::ALL {
            tally.count(kind, 2);
        }
        assert_eq!(tally.errors().len(), FailureKind::ALL.len());
        assert!(tally.errors().values().all(|count| *count == 2));
    }

    #[test]
    fn costs_add_up() {
        let tally = Tally::default();
        let cost = Cost { requests: 2, hashes: 100, errors: vec![FailureKind::Unavailable], unknown_statuses: 1 };
        tally.add(&cost);
        tally.add(&cost);
        assert_eq!((tally.requests(), tally.hashes(), tally.unknown_statuses()), (4, 200, 2));
        assert_eq!(tally.errors(), [("unavailable", 2)].into());
    }

    #[test]
    fn health_reads_as_one_object() {
        let health = Health::Stopped { reason: "refused".into(), retry_at: 7 };
        assert_eq!(serde_json::to_string(&health).unwrap(), r#"{"state":"stopped","reason":"refused","retry_at":7}"#);
    }
}
