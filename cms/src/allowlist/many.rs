//! One decision of a person on many files. What hosts cannot do without is not denied with the rest, and a threat is not allowed with
//! the rest: whoever means such a file names it alone.

use std::collections::BTreeSet;

use doorward_policy::{Decision, Sha256};
use serde::{Deserialize, Serialize};

use super::{Allowlist, BootClosure};
use crate::store::{Decided, FileDecisions, Result, Store};

/// Why a file was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Hosts cannot boot or be managed without it.
    Closure,
    /// Threat intelligence calls it malicious or suspicious.
    Threat,
    /// What names it is no SHA-256.
    Malformed,
}

/// A file that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The file.
    pub file: Sha256,
    /// Why, for programs.
    pub because: Because,
    /// Why, for people.
    pub detail: String,
}

impl Allowlist {
    /// Takes a person's decision on many files; it is in force when this returns, but for those that are given back. Nobody sees a part
    /// of it.
    ///
    /// # Errors
    /// [`crate::store::StoreError`]; then nothing was decided.
    pub async fn decide_files(&self, decisions: &FileDecisions, actor: &str) -> Result<(Decided, Vec<LeftOut>)> {
        let (mut decisions, actor, now) = (decisions.clone(), actor.to_owned(), self.clock.now_micros());
        self.change(|store| async move {
            let left_out = left_out(&store, &decisions).await?;
            for LeftOut { file, .. } in &left_out {
                decisions.files.remove(file);
            }
            let (decided, effect) = store.decide_files(&decisions, &actor, now).await?;
            Ok(((decided, left_out), effect))
        })
        .await
    }
}

async fn left_out(store: &Store, decisions: &FileDecisions) -> Result<Vec<LeftOut>> {
    match decisions.decision {
        Decision::Undecided => Ok(Vec::new()),
        Decision::Denied => unblockable(store, decisions).await,
        Decision::Allowed => Ok(threats(store.threats(&decisions.files).await?)),
    }
}

async fn unblockable(store: &Store, decisions: &FileDecisions) -> Result<Vec<LeftOut>> {
    let mut left_out = Vec::new();
    for file in store.claimed(&decisions.files).await? {
        if let Err(reason) = BootClosure.refuses_file(&store.claims(&file, decisions.owner).await?) {
            left_out.push(LeftOut { file, because: Because::Closure, detail: reason.to_string() });
        }
    }
    Ok(left_out)
}

fn threats(files: BTreeSet<Sha256>) -> Vec<LeftOut> {
    let detail = "threat intelligence calls it a threat; look at it with `doorward-cms file show` and allow it by itself";
    files.into_iter().map(|file| LeftOut { file, because: Because::Threat, detail: detail.to_owned() }).collect()
}
