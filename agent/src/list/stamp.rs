//! Counters by which a conclusion is told from what holds now: one for what bears on every file, and one for each share of the files.
//!
//! A verdict about one file takes nothing from the others but those few that share its counter; judging those again only costs time.

use std::sync::atomic::{AtomicU64, Ordering};

use doorward_policy::Sha256;

/// Counters of single files; together 32 KiB. A digest's first bytes say which is a file's.
const SHARES: usize = 4_096;

/// Where the counters stood for one file. To be compared, never ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    share: u16,
    count: u64,
}

impl Stamp {
    /// Which of the counters it is of.
    #[must_use]
    pub const fn share(&self) -> u16 {
        self.share
    }
}

/// All counters. Reading one is one load; nobody waits.
#[derive(Debug)]
pub(super) struct Stamps {
    /// Rises with what may bear on any file.
    general: AtomicU64,
    /// Rises with every change of a single file's counter.
    any: AtomicU64,
    shares: Box<[AtomicU64]>,
}

impl Default for Stamps {
    fn default() -> Self {
        Self { general: AtomicU64::new(0), any: AtomicU64::new(0), shares: (0..SHARES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Stamps {
    pub(super) fn general(&self) -> u64 {
        self.general.load(Ordering::Acquire)
    }

    pub(super) fn any(&self) -> u64 {
        self.any.load(Ordering::Acquire)
    }

    /// To be read before judging what is to be remembered.
    pub(super) fn of(&self, file: &Sha256) -> Stamp {
        let share = share(file);
        Stamp { share, count: self.shares[usize::from(share)].load(Ordering::Acquire) }
    }

    pub(super) fn holds(&self, stamp: Stamp) -> bool {
        self.shares[usize::from(stamp.share)].load(Ordering::Acquire) == stamp.count
    }

    /// To be called after everything changed.
    pub(super) fn turn_over(&self) {
        self.general.fetch_add(1, Ordering::AcqRel);
    }

    /// To be called after what is said of this file changed.
    pub(super) fn turn(&self, file: &Sha256) {
        self.shares[usize::from(share(file))].fetch_add(1, Ordering::AcqRel);
        self.any.fetch_add(1, Ordering::AcqRel);
    }
}

fn share(file: &Sha256) -> u16 {
    let bytes = file.as_bytes();
    u16::from_be_bytes([bytes[0], bytes[1]]) % SHARES as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_file_leaves_those_of_other_shares_alone() {
        let stamps = Stamps::default();
        let (one, other) = (Sha256::new([1; 32]), Sha256::new([2; 32]));
        let (of_one, of_other) = (stamps.of(&one), stamps.of(&other));
        assert!(stamps.holds(of_one) && stamps.holds(of_other));
        stamps.turn(&one);
        assert!(!stamps.holds(of_one) && stamps.holds(of_other));
        assert_eq!((stamps.general(), stamps.any()), (0, 1));
        stamps.turn_over();
        assert_eq!((stamps.general(), stamps.any()), (1, 1));
    }
}
