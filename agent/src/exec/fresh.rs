//! File systems that got their mark a moment ago: what was executed on them just before, the marks did not tell of.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a mark is fresh, in nanoseconds. Between a program's opening and the end of its execution lies at most what its loader's
/// file system takes. Who can draw that out longer (a loader on FUSE) would have to reach a file system before root's mount of it is
/// marked.
const FRESH_NS: u64 = 60 * 1_000_000_000;
/// Marks remembered; the freshest stay.
const MARKS_MAX: usize = 1_024;

/// Devices (`st_dev`) and when they were marked, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<Vec<(u64, u64)>>);

impl Fresh {
    /// A device was marked.
    pub(super) fn note(&self, device: u64, now_ns: u64) {
        let mut marks = self.lock();
        marks.retain(|(known, at_ns)| *known != device && at_ns.saturating_add(FRESH_NS) > now_ns);
        if marks.len() >= MARKS_MAX {
            marks.remove(0);
        }
        marks.push((device, now_ns));
    }

    /// Whether an execution at this time may have begun before the device was marked.
    pub(super) fn holds(&self, device: u64, executed_ns: u64) -> bool {
        self.lock().iter().any(|(known, at_ns)| *known == device && executed_ns < at_ns.saturating_add(FRESH_NS))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_fresh_for_a_while() {
        let fresh = Fresh::default();
        fresh.note(7, 1_000);
        assert!(fresh.holds(7, 1_000) && fresh.holds(7, 999 + FRESH_NS));
        assert!(!fresh.holds(7, 1_000 + FRESH_NS) && !fresh.holds(8, 1_000));
        fresh.note(8, 1_001 + FRESH_NS);
        assert_eq!(fresh.lock().len(), 1, "the other is no longer fresh");
    }

    #[test]
    fn room_is_bounded() {
        let fresh = Fresh::default();
        for device in 0..=MARKS_MAX as u64 {
            fresh.note(device, 1);
        }
        assert!(!fresh.holds(0, 1) && fresh.holds(1, 1) && fresh.holds(MARKS_MAX as u64, 1));
    }
}
