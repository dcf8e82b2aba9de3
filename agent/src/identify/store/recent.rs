//! What was learnt since the generation was made: in memory for lookups, in the overlay for the next process.

use std::collections::HashMap;
use std::io;

use super::overlay::Overlay;
use super::row::{INODE_BYTES, Row};
use super::{FINGERPRINTS_MAX, FingerprintKey, Memo, ROWS_MAX, generation, inode_key};
use crate::identify::Identity;

/// A new generation is written when more than this part of it would differ from the one on disk.
const REWRITE_SHARE: usize = 16;

/// Guarded by the store's lock.
#[derive(Debug)]
pub(super) struct Recent {
    learnt: Learnt,
    /// Where the newest row of an inode stands.
    by_inode: HashMap<[u8; INODE_BYTES], u32>,
    overlay: Option<Overlay>,
    /// A generation stands on disk, so an overlay beside it is enough for small changes.
    is_written: bool,
}

/// In the order in which it was learnt.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    pub(super) rows: Vec<Row>,
    pub(super) fingerprints: Vec<u64>,
}

impl Learnt {
    /// In the order of generations, the newest row of each inode.
    pub(super) fn sort(&mut self) {
        generation::sort_rows(&mut self.rows);
        self.fingerprints.sort_unstable();
        self.fingerprints.dedup();
    }
}

impl Recent {
    pub(super) fn new(overlay: Option<Overlay>, is_written: bool) -> Self {
        Self { learnt: Learnt::default(), by_inode: HashMap::new(), overlay, is_written }
    }

    pub(super) fn row(&self, identity: &Identity) -> Option<Row> {
        let row = self.learnt.rows[*self.by_inode.get(&inode_key(identity))? as usize];
        (row[..Identity::KEY_BYTES] == identity.key()).then_some(row)
    }

    /// Takes in a memo next to a generation of so many entries; what does not fit is forgotten, and so read again.
    pub(super) fn take(&mut self, memo: &mut Memo, rows: usize, fingerprints: usize) -> io::Result<()> {
        memo.rows.truncate(ROWS_MAX.saturating_sub(rows + self.learnt.rows.len()));
        memo.fingerprints.truncate(FINGERPRINTS_MAX.saturating_sub(fingerprints + self.learnt.fingerprints.len()));
        let outcome = match &mut self.overlay {
            Some(overlay) => overlay.append(&memo.rows, &memo.fingerprints),
            None => Ok(()),
        };
        if outcome.is_err() {
            // A torn frame hides whatever is appended behind it.
            self.overlay = None;
            self.is_written = false;
        }
        for row in memo.rows.drain(..) {
            self.index(&row, self.learnt.rows.len());
            self.learnt.rows.push(row);
        }
        self.learnt.fingerprints.append(&mut memo.fingerprints);
        memo.digested_bytes = 0;
        outcome
    }

    fn index(&mut self, row: &Row, at: usize) {
        self.by_inode.insert(std::array::from_fn(|byte| row[byte]), at as u32);
    }

    /// Everything learnt, when a generation of it and of the `known` entries, of which `gone` are gone, would differ enough
    /// from the one on disk; smaller changes stay in the overlay, which serves as well.
    pub(super) fn take_if_worth_writing(&mut self, gone: usize, known: usize) -> Option<Learnt> {
        let changes = self.rows() + self.fingerprints() + gone;
        (!self.is_written || changes * REWRITE_SHARE > known).then(|| self.take_all())
    }

    fn take_all(&mut self) -> Learnt {
        self.by_inode = HashMap::new();
        std::mem::take(&mut self.learnt)
    }

    /// Takes back what could not be written elsewhere; what was learnt meanwhile is newer.
    pub(super) fn put_back(&mut self, mut earlier: Learnt) {
        let later = self.take_all();
        earlier.rows.extend(later.rows);
        earlier.fingerprints.extend(later.fingerprints);
        self.learnt = earlier;
        for at in 0..self.learnt.rows.len() {
            let row = self.learnt.rows[at];
            self.index(&row, at);
        }
    }

    /// Empties the overlay after its entries went into a generation, but for what was learnt while that was written.
    pub(super) fn begin_overlay(&mut self, key: &FingerprintKey) -> io::Result<()> {
        self.is_written = true;
        let Some(overlay) = &mut self.overlay else { return Ok(()) };
        overlay.reset(key)?;
        overlay.append(&self.learnt.rows, &self.learnt.fingerprints)
    }

    pub(super) const fn rows(&self) -> usize {
        self.learnt.rows.len()
    }

    pub(super) const fn fingerprints(&self) -> usize {
        self.learnt.fingerprints.len()
    }

    pub(super) fn overlay_bytes(&self) -> u64 {
        self.overlay.as_ref().map_or(0, Overlay::bytes)
    }
}
