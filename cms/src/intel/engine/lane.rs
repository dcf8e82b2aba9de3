//! How many questions are under way, and since when a batch gathers. Executed files have slots of their own, so that a slow batch
//! never stands in their way.

use std::time::Duration;

use tokio::task::JoinError;

/// Which slots a question takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Executed,
    Gathered,
}

#[derive(Debug)]
pub(super) struct Lanes {
    slots_max: usize,
    executed: usize,
    gathered: usize,
    batch_wait: Duration,
    /// When the first file of the batch was seen, in microseconds since 1970.
    gathering_since: Option<i64>,
}

impl Lanes {
    pub(super) const fn new(slots_max: usize, batch_wait: Duration) -> Self {
        Self { slots_max, executed: 0, gathered: 0, batch_wait, gathering_since: None }
    }

    pub(super) const fn has_room(&self, lane: Lane) -> bool {
        match lane {
            Lane::Executed => self.executed < self.slots_max,
            Lane::Gathered => self.gathered < self.slots_max,
        }
    }

    pub(super) const fn left(&mut self, lane: Lane) {
        match lane {
            Lane::Executed => self.executed += 1,
            Lane::Gathered => self.gathered += 1,
        }
    }

    /// A question ended. One that panicked does not say which lane it had: both get the benefit, since a slot too many for a moment
    /// is better than one too few for ever.
    pub(super) fn returned(&mut self, done: Result<Lane, JoinError>) {
        match done {
            Ok(Lane::Executed) => self.executed = self.executed.saturating_sub(1),
            Ok(Lane::Gathered) => self.gathered = self.gathered.saturating_sub(1),
            Err(error) => {
                tracing::error!(%error, "a look-up ended without a word; its files are asked again");
                self.executed = self.executed.saturating_sub(1);
                self.gathered = self.gathered.saturating_sub(1);
            }
        }
    }

    /// There is something to ask: how much longer to gather, or `None` when the batch may leave.
    pub(super) fn gather(&mut self, now: i64) -> Option<Duration> {
        let since = *self.gathering_since.get_or_insert(now);
        // A clock that was set back must not hold a batch.
        let gathered = Duration::from_micros(u64::try_from(now.saturating_sub(since)).unwrap_or(u64::MAX));
        self.batch_wait.checked_sub(gathered).filter(|wait| !wait.is_zero())
    }

    /// A batch left that was not full: the next one gathers anew. After a full one the next follows at once.
    pub(super) const fn gathered(&mut self) {
        self.gathering_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gathers_once_and_then_leaves() {
        let mut lanes = Lanes::new(2, Duration::from_millis(1000));
        assert_eq!(lanes.gather(5_000_000), Some(Duration::from_millis(1000)));
        assert_eq!(lanes.gather(5_400_000), Some(Duration::from_millis(600)));
        assert_eq!(lanes.gather(6_000_000), None);
        assert_eq!(lanes.gather(6_000_001), None, "a full batch is followed by the next at once");
        lanes.gathered();
        assert_eq!(lanes.gather(7_000_000), Some(Duration::from_millis(1000)));
        assert_eq!(lanes.gather(1_000_000), None, "a clock set back holds nothing");
    }

    #[test]
    fn lanes_do_not_stand_in_each_others_way() {
        let mut lanes = Lanes::new(2, Duration::ZERO);
        lanes.left(Lane::Gathered);
        lanes.left(Lane::Gathered);
        assert!(!lanes.has_room(Lane::Gathered) && lanes.has_room(Lane::Executed));
        lanes.returned(Ok(Lane::Gathered));
        assert!(lanes.has_room(Lane::Gathered));
        assert_eq!(lanes.gather(0), None, "without a wait nothing gathers");
    }
}
