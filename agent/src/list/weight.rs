//! The verdicts that change a judgement, in memory: allows on this host alone, denies, threats. All others stay on disk in `pending`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use doorward_policy::{Sha256, Status};
use doorward_proto::uplink::{Verdict, VerdictDecision};

/// Verdicts kept at most. Beyond it new ones are left out: without its allow a file is undecided, and denies and threats are in the
/// policy too.
const WEIGHTS_MAX: usize = 200_000;

#[derive(Default)]
pub(super) struct Weights {
    verdicts: RwLock<HashMap<Sha256, Arc<Verdict>>>,
}

impl Weights {
    /// Takes newer verdicts into account; `turned` is told of each file whose weight is another now, after it is.
    pub(super) fn take<'a>(&self, verdicts: impl IntoIterator<Item = &'a Verdict>, turned: impl Fn(&Sha256)) {
        let mut kept = self.verdicts.write().unwrap_or_else(PoisonError::into_inner);
        for verdict in verdicts {
            if kept.get(&verdict.file).is_some_and(|known| known.change_id >= verdict.change_id) {
                continue;
            }
            if weighs(verdict) {
                let has_room = kept.len() < WEIGHTS_MAX || kept.contains_key(&verdict.file);
                if !has_room {
                    continue;
                }
                kept.insert(verdict.file, Arc::new(verdict.clone()));
            } else if kept.remove(&verdict.file).is_none() {
                // Most verdicts say that nothing is known. They change no judgement, and nobody has to judge again for them.
                continue;
            }
            turned(&verdict.file);
        }
    }

    pub(super) fn of(&self, file: &Sha256) -> Option<Arc<Verdict>> {
        self.verdicts.read().unwrap_or_else(PoisonError::into_inner).get(file).cloned()
    }
}

fn weighs(verdict: &Verdict) -> bool {
    verdict.status == Status::Threat || verdict.decision != VerdictDecision::Undecided
}
