//! Counters by which a conclusion is told from what holds now: one for what bears on every file, and one for each share of the files.
//!
//! A verdict about one file takes nothing from the others but those few that share its counter; judging those again only costs time.
//! A verdict about a file that nobody ever concluded upon takes nothing from anybody: a list of a hundred thousand files that were
//! never met here leaves everything known as it is.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use doorward_policy::Sha256;

/// Counters of single files; together 32 KiB. A digest's first bytes say which is a file's.
const SHARES: usize = 4_096;
/// Bits that say of which files a stamp was ever taken; together 512 KiB. Two files can have the same: the other is turned with the one,
/// which costs time. They are never cleared; a host that met millions of files turns more than it had to.
const ASKED_BITS: usize = 1 << 22;
const WORD_BITS: usize = u64::BITS as usize;

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
    asked: Box<[AtomicU64]>,
}

impl Default for Stamps {
    fn default() -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { general: AtomicU64::new(0), any: AtomicU64::new(0), shares: zeros(SHARES), asked: zeros(ASKED_BITS / WORD_BITS) }
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
        let (word, bit) = self.asked(file);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        // SECURITY: between this and what is read next of the lists; its twin is in `turn`. Of one who asks while what is said changes,
        // either he reads what is said now, or who changed it sees that he asked.
        fence(Ordering::SeqCst);
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
        fence(Ordering::SeqCst);
        let (word, bit) = self.asked(file);
        if word.load(Ordering::Relaxed) & bit == 0 {
            return;
        }
        self.shares[usize::from(share(file))].fetch_add(1, Ordering::AcqRel);
        self.any.fetch_add(1, Ordering::AcqRel);
    }

    /// Where it stands whether a stamp of this file was ever taken. Other bytes than those of the share: files of one share differ here.
    fn asked(&self, file: &Sha256) -> (&AtomicU64, u64) {
        let bytes = file.as_bytes();
        let place = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]) as usize % ASKED_BITS;
        (&self.asked[place / WORD_BITS], 1 << (place % WORD_BITS))
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

    #[test]
    fn a_change_of_files_that_nobody_concluded_upon_takes_nothing_from_anybody() {
        let stamps = Stamps::default();
        let of_share = |number: u32| {
            let mut bytes = [7; 32];
            bytes[2..6].copy_from_slice(&number.to_be_bytes());
            Sha256::new(bytes)
        };
        let known = stamps.of(&of_share(0));
        (1..1_000).for_each(|number| stamps.turn(&of_share(number)));
        assert!(stamps.holds(known) && stamps.any() == 0, "they are of the same share and were never asked about");
        let other = stamps.of(&of_share(1));
        stamps.turn(&of_share(1));
        assert!(!stamps.holds(known) && !stamps.holds(other), "one that was asked about turns its share");
    }

    #[test]
    fn who_asks_while_what_is_said_changes_reads_the_new_or_is_turned() {
        for _ in 0..200 {
            let (stamps, said) = (Stamps::default(), AtomicU64::new(0));
            let file = Sha256::new([3; 32]);
            let (stamp, read) = std::thread::scope(|scope| {
                let asking = scope.spawn(|| (stamps.of(&file), said.load(Ordering::Relaxed)));
                said.store(1, Ordering::Relaxed);
                stamps.turn(&file);
                asking.join().unwrap()
            });
            assert!(read == 1 || !stamps.holds(stamp), "an old word that holds");
        }
    }
}
