//! What one thread learnt and has not told the store yet, so that threads meet there once in hundreds of files.

use super::row::{Row, encode};
use super::{IdentityStore, fingerprint};
use crate::identify::{Examined, Identity, NameClaim};

/// Rows gathered before they are told.
const ROWS: usize = 128;

/// Fingerprints gathered before they are told.
const FINGERPRINTS: usize = 4096;

/// Digesting at most this much is done again after a kill.
const DIGESTED_BYTES: u64 = 32 << 20;

/// A thread's notes; told by [`IdentityStore::remember`].
#[derive(Debug, Default)]
pub struct Memo {
    pub(super) rows: Vec<Row>,
    pub(super) fingerprints: Vec<u64>,
    pub(super) digested_bytes: u64,
}

impl Memo {
    /// Notes what a look at a file gave, when that may last.
    pub fn keep(&mut self, store: &IdentityStore, examined: &Examined, claim: NameClaim) {
        match (&examined.lasting, &examined.candidate) {
            (None, _) => {}
            (Some(identity), None) => self.fingerprints.push(fingerprint::of(&store.key, identity, claim)),
            (Some(identity), Some(candidate)) => {
                self.rows.push(encode(identity, candidate.kind, &candidate.digests));
                self.digested_bytes += identity.size;
            }
        }
    }

    /// The note on a candidate; there are few, so they are simply gone through.
    pub(super) fn row(&self, identity: &Identity) -> Option<Row> {
        let key = identity.key();
        self.rows.iter().find(|row| row[..Identity::KEY_BYTES] == key).copied()
    }

    /// Whether it is time to tell the store.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.rows.len() >= ROWS || self.fingerprints.len() >= FINGERPRINTS || self.digested_bytes >= DIGESTED_BYTES
    }
}
