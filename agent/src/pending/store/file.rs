//! What the store keeps by file: since when a verdict is awaited on what was executed or loaded, and the last verdict that came.

use std::ops::Bound;

use doorward_policy::Sha256;
use doorward_proto::uplink::Verdict;

use super::{Fault, Store};
use crate::pending::limit::FILES_MAX;
use crate::pending::record::{VerdictRow, parse, value};

impl Store {
    /// Notes that a verdict is awaited, unless it is already or the last verdict was final.
    pub(super) fn await_file(&mut self, file: &[u8; 32], now: i64) -> Result<(), Fault> {
        if self.tally.awaiting >= FILES_MAX || self.awaiting.contains_key(file)? || self.row(file)?.is_some_and(|row| row.is_final) {
            return Ok(());
        }
        self.awaiting.insert(file, &now.to_be_bytes())?;
        self.tally.awaiting += 1;
        Ok(())
    }

    /// Keeps the verdicts that are newer than what is known, and says which those were.
    pub(in crate::pending) fn take_verdicts(&mut self, verdicts: Vec<Verdict>) -> Result<Vec<Verdict>, Fault> {
        let mut taken = Vec::with_capacity(verdicts.len());
        for verdict in verdicts {
            let file = verdict.file.as_bytes();
            let known = self.row(file)?;
            if known.as_ref().is_some_and(|known| known.change_id >= verdict.change_id) {
                continue;
            }
            if known.is_some() || self.tally.verdicts < FILES_MAX {
                let new = self.verdict.insert(file, value(0, &VerdictRow::from(verdict.clone())))?.is_none();
                self.tally.verdicts += u64::from(new);
            }
            if verdict.is_final && self.awaiting.remove(file)?.is_some() {
                self.tally.awaiting = self.tally.awaiting.saturating_sub(1);
            }
            taken.push(verdict);
        }
        Ok(taken)
    }

    /// The last verdict on a file.
    pub(in crate::pending) fn verdict(&self, file: &Sha256) -> Result<Option<Verdict>, Fault> {
        Ok(self.row(file.as_bytes())?.map(|row| row.into_verdict(*file)))
    }

    /// A page of verdicts in the order of their files' digests, and where the next one starts.
    pub(in crate::pending) fn verdicts_after(&self, after: Option<Sha256>, max: usize) -> Result<(Vec<Verdict>, Option<Sha256>), Fault> {
        let from = after.map_or(Bound::Unbounded, |file| Bound::Excluded(*file.as_bytes()));
        let (mut verdicts, mut last) = (Vec::new(), None);
        for row in self.verdict.range((from, Bound::Unbounded)).take(max) {
            let (key, value) = row?;
            last = Sha256::from_slice(&key);
            if let (Some(file), Ok(row)) = (last, parse::<VerdictRow>(&value)) {
                verdicts.push(row.into_verdict(file));
            }
        }
        Ok((verdicts, last))
    }

    /// An unreadable verdict counts as none: the CMS has it, and the next one replaces it.
    fn row(&self, file: &[u8; 32]) -> Result<Option<VerdictRow>, Fault> {
        Ok(self.verdict.get(file)?.and_then(|bytes| parse(&bytes).ok()))
    }
}
