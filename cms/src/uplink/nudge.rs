//! What a session has to look at: bits that are set from anywhere and taken by the one task that looks. Setting a bit twice costs
//! one look, so a storm of changes is a single query.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::signals::What;

/// A set of things to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due(u8);

impl Due {
    pub(super) const VERDICTS: Self = Self(1);
    pub(super) const POLICY: Self = Self(2);
    pub(super) const SETTINGS: Self = Self(4);
    pub(super) const COMMANDS: Self = Self(8);
    pub(super) const REMOVED: Self = Self(16);
    /// The host cannot use the policy it has or was sent.
    pub(super) const SNAPSHOT: Self = Self(32);
    /// What a session looks at when it begins or when wake-ups were lost.
    pub(super) const EVERYTHING: Self = Self(1 | 2 | 4 | 8 | 16);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl From<What> for Due {
    fn from(what: What) -> Self {
        match what {
            What::Verdicts => Self::VERDICTS,
            What::Policy => Self::POLICY,
            What::Settings => Self::SETTINGS,
            What::Commands => Self::COMMANDS,
            What::Removed => Self::REMOVED,
            What::Everything => Self::EVERYTHING,
        }
    }
}

/// The bits of one session.
#[derive(Debug)]
pub(super) struct Nudge {
    due: AtomicU8,
    wake: Notify,
}

impl Nudge {
    pub(super) fn new(due: Due) -> Self {
        Self { due: AtomicU8::new(due.0), wake: Notify::new() }
    }

    pub(super) fn nudge(&self, due: Due) {
        self.due.fetch_or(due.0, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Whether one of these waits already.
    pub(super) fn has(&self, due: Due) -> bool {
        Due(self.due.load(Ordering::Acquire)).has(due)
    }

    /// As [`Self::take`], but after `rest` everything is to be looked at, nudged or not: a change whose telling was lost, by whatever
    /// mistake, is late then and not missing until something else happens.
    pub(super) async fn take_within(&self, rest: Duration) -> Due {
        tokio::time::timeout(rest, self.take()).await.unwrap_or(Due::EVERYTHING)
    }

    /// Waits for something to look at and takes all of it.
    pub(super) async fn take(&self) -> Due {
        loop {
            match self.due.swap(0, Ordering::AcqRel) {
                0 => self.wake.notified().await,
                due => return Due(due),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_set_is_taken_once_and_together() {
        let nudge = Nudge::new(Due::SETTINGS);
        nudge.nudge(Due::POLICY);
        nudge.nudge(Due::POLICY);
        assert!(nudge.has(Due::POLICY) && !nudge.has(Due::COMMANDS));
        assert_eq!(nudge.take().await, Due::SETTINGS.and(Due::POLICY));
        tokio::select! {
            biased;
            due = nudge.take() => panic!("{due:?} was taken twice"),
            () = tokio::task::yield_now() => {}
        }
        nudge.nudge(Due::VERDICTS);
        assert_eq!(nudge.take().await, Due::VERDICTS);
    }
    #[tokio::test(start_paused = true)]
    async fn a_session_nobody_nudges_looks_at_everything_by_itself() {
        let nudge = Nudge::new(Due(0));
        let rest = Duration::from_secs(30);
        let began = tokio::time::Instant::now();
        assert_eq!(nudge.take_within(rest).await, Due::EVERYTHING);
        assert_eq!(began.elapsed(), rest);
        nudge.nudge(Due::POLICY);
        assert_eq!(nudge.take_within(rest).await, Due::POLICY, "a nudge does not wait for it");
    }
}
