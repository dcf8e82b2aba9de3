//! What a scan came to.

use std::collections::BTreeMap;

use super::{Reading, SourceCount, Uncovered};
use crate::identify::SkipReason;

/// Totals and inventory of one scan.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Final counters.
    pub counts: Reading,
    /// What was not looked at, by reason; each of them was told to the sink.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Packages whose files were met.
    pub inventory: Vec<SourceCount>,
    /// Mounts left alone.
    pub uncovered: Vec<Uncovered>,
    /// It ended before its end: cancelled, or the sink took no more.
    pub stopped: bool,
}

impl Summary {
    /// Skips by word, for JSON and tables.
    #[must_use]
    pub fn skipped_by_word(&self) -> BTreeMap<&'static str, u64> {
        self.skipped.iter().map(|(reason, count)| (reason.word(), *count)).collect()
    }
}
