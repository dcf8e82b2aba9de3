//! The step from one policy to a later one: what changed, under the later one's head. Applied wholly or not at all.

use bytes::Bytes;

use super::assemble::not_newer;
use super::policy::{RecordBytes, key, read_rising};
use super::{Policy, PolicyVerifier, Position, Record, Refusal, SignedHead, VersionRules};
use crate::limit::{PART_BYTES_MAX, RECORDS_MAX};

/// Bytes of a removal: a record's key, kind and scope.
pub const REMOVAL_BYTES: usize = Record::KEY_BYTES;

type RemovalBytes = [u8; REMOVAL_BYTES];

/// A step on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Epoch it starts from.
    pub base_epoch: u64,
    /// Revision it starts from.
    pub base_revision: u64,
    /// The later policy's head.
    pub head: SignedHead,
    /// All version rules of the later policy; `None` when they are the same.
    pub version_rules: Option<Bytes>,
    /// Records to add or replace, in order.
    pub upserts: Bytes,
    /// Removals, in order.
    pub removals: Bytes,
}

impl Delta {
    const fn base(&self) -> Position {
        Position { epoch: self.base_epoch, revision: self.base_revision }
    }
}

impl Policy {
    /// The step from this policy to a later one; `None` when it does not fit one message, so that a snapshot must be sent.
    #[must_use]
    pub fn diff(&self, later: &Self) -> Option<Delta> {
        let (mut upserts, mut removals) = (Vec::new(), Vec::new());
        let mut old = self.record_bytes().iter().peekable();
        for new in later.record_bytes() {
            while let Some(gone) = old.next_if(|old| key(old) < key(new)) {
                removals.extend_from_slice(key(gone));
            }
            let kept = old.next_if(|old| key(old) == key(new));
            if kept != Some(new) {
                upserts.extend_from_slice(new);
            }
            if upserts.len() > PART_BYTES_MAX || removals.len() > PART_BYTES_MAX {
                return None;
            }
        }
        old.for_each(|gone| removals.extend_from_slice(key(gone)));
        if removals.len() > PART_BYTES_MAX {
            return None;
        }
        let Position { epoch, revision } = self.head().position();
        let (upserts, removals) = (upserts.into(), removals.into());
        let is_same = self.version_rules() == later.version_rules();
        let version_rules = (!is_same).then(|| later.version_rules().bytes().clone());
        Some(Delta { base_epoch: epoch, base_revision: revision, head: *later.signed_head(), version_rules, upserts, removals })
    }

    /// Takes a step. Gives the later policy, which is the one its snapshot would give; this one stays as it is.
    ///
    /// # Errors
    /// Any [`Refusal`]; [`Refusal::WrongBase`] is answered by asking for a snapshot.
    pub fn apply_delta(&self, delta: &Delta, verifier: &PolicyVerifier) -> Result<Self, Refusal> {
        let current = self.head().position();
        verifier.verify(&delta.head)?;
        if delta.head.head.profile != self.head().profile {
            return Err(Refusal::WrongProfile);
        }
        not_newer(&delta.head, current)?;
        if delta.base() != current {
            return Err(Refusal::WrongBase { current, base: delta.base() });
        }
        if delta.head.head.count > RECORDS_MAX as u64 {
            return Err(Refusal::TooLarge);
        }
        let mut upserts = Vec::new();
        read_rising(&delta.upserts, None, |record| upserts.push(record))?;
        let removals = read_removals(&delta.removals)?;
        let version_rules = delta.version_rules.as_ref().map_or_else(|| Ok(self.version_rules().clone()), VersionRules::read)?;
        Self::from_believed(delta.head, version_rules, merge(self.record_bytes(), &upserts, removals))
    }
}

fn read_removals(bytes: &[u8]) -> Result<&[RemovalBytes], Refusal> {
    let (removals, rest) = bytes.as_chunks::<REMOVAL_BYTES>();
    let rising = rest.is_empty() && removals.is_sorted_by(|earlier, later| earlier < later);
    if rising { Ok(removals) } else { Err(Refusal::Unsorted) }
}

/// Records without the removed ones, then with the upserts. Whether that was meant is for the root to say.
fn merge(records: &[RecordBytes], upserts: &[RecordBytes], removals: &[RemovalBytes]) -> Vec<RecordBytes> {
    let mut merged = Vec::with_capacity(records.len() + upserts.len());
    let mut upserts = upserts.iter().peekable();
    let mut removals = removals.iter().peekable();
    for record in records {
        while let Some(upsert) = upserts.next_if(|upsert| key(upsert) < key(record)) {
            merged.push(*upsert);
        }
        while removals.next_if(|removal| removal[..] < *key(record)).is_some() {}
        let removed = removals.next_if(|removal| removal[..] == *key(record)).is_some();
        match upserts.next_if(|upsert| key(upsert) == key(record)) {
            Some(upsert) => merged.push(*upsert),
            None if removed => {}
            None => merged.push(*record),
        }
    }
    merged.extend(upserts);
    merged
}
