//! A pass over files: lookups that leave a mark, so that afterwards the store knows what is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use doorward_policy::DigestAlgorithm;

use super::generation::Generation;
use super::{IdentityStore, Memo, fingerprint, identified, row};
use crate::identify::{Identified, Inode, NameClaim};

/// What the store says of a file by its stat alone.
#[derive(Debug, Clone)]
pub enum Known {
    /// A candidate, with what was learnt of it.
    Candidate(Identified),
    /// Looked at before; no candidate.
    Other,
    /// Not known in this state.
    Nothing,
}

/// One pass; shared by its threads.
#[derive(Debug)]
pub struct Pass<'a> {
    store: &'a IdentityStore,
    generation: Arc<Generation>,
    rows: Marks,
    fingerprints: Marks,
}

impl<'a> Pass<'a> {
    pub(super) fn new(store: &'a IdentityStore, generation: Arc<Generation>) -> Self {
        let (rows, fingerprints) = (Marks::new(generation.rows.len()), Marks::new(generation.fingerprints.len()));
        Self { store, generation, rows, fingerprints }
    }

    /// Looks a file up. `wanted` is asked for candidates only; one of which a digest is wanted and missing is not known.
    #[must_use]
    pub fn look_up(&self, inode: &Inode, claim: NameClaim, wanted: impl FnOnce() -> Option<DigestAlgorithm>) -> Known {
        if let Some(at) = fingerprint::find(&self.generation.fingerprints, fingerprint::of(&self.store.key, &inode.identity, claim)) {
            self.fingerprints.mark(at);
            return Known::Other;
        }
        let Some((at, true)) = row::find(&self.generation.rows, &inode.identity) else { return Known::Nothing };
        self.rows.mark(at);
        identified(&self.generation.rows[at], inode, wanted()).map_or(Known::Nothing, Known::Candidate)
    }

    /// Looks a candidate up among what was learnt since the pass began, and in a thread's own notes: worth its price for
    /// files with several links only.
    #[must_use]
    pub fn look_up_recent(&self, memo: &Memo, inode: &Inode, wanted: Option<DigestAlgorithm>) -> Option<Identified> {
        let row = memo.row(&inode.identity).or_else(|| self.store.recent().row(&inode.identity))?;
        identified(&row, inode, wanted)
    }

    pub(super) fn is_over(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(&self.generation, generation)
    }

    pub(super) fn met_row(&self, at: usize) -> bool {
        self.rows.is_marked(at)
    }

    pub(super) fn met_fingerprint(&self, at: usize) -> bool {
        self.fingerprints.is_marked(at)
    }

    pub(super) fn unmet(&self) -> usize {
        self.generation.rows.len() + self.generation.fingerprints.len() - self.rows.count() - self.fingerprints.count()
    }
}

/// A bit an entry.
#[derive(Debug)]
struct Marks(Vec<AtomicU64>);

impl Marks {
    fn new(entries: usize) -> Self {
        Self((0..entries.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn mark(&self, at: usize) {
        self.0[at / 64].fetch_or(1 << (at % 64), Ordering::Relaxed);
    }

    fn is_marked(&self, at: usize) -> bool {
        self.0[at / 64].load(Ordering::Relaxed) >> (at % 64) & 1 == 1
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }
}
