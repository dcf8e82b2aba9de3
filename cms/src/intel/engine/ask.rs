//! One question from leaving the queue to its end: asked, sorted into answered and not, written down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use doorward_policy::{Class, Sha256};

use super::{Asking, STORE_RETRY, failed};
use crate::allowlist::{Answered, Failed};
use crate::intel::failure::{Failure, FailureKind};
use crate::intel::provider::{Item, LookUp, Outcome};
use crate::intel::tally::Health;
use crate::store::Taken;

/// Wait before a file that was missing in an answer is asked again; doubles with each try.
const MISSING_WAIT_MIN: Duration = Duration::from_secs(60);

/// Longest such wait: rare enough to cost nothing, and nobody's file is forgotten.
const MISSING_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Files taken from the queue, to be asked together.
pub(super) struct Ask {
    pub(super) asking: Arc<Asking>,
    pub(super) taken: Vec<Taken>,
}

impl Ask {
    pub(super) async fn run(self) {
        let files: Vec<Sha256> = self.taken.iter().map(|taken| taken.file).filter(|file| *file != Sha256::EMPTY).collect();
        let found = if files.is_empty() { LookUp::default() } else { self.asking.provider.look_up(&files).await };
        self.asking.control.tally.add(&found.cost);
        let now = self.asking.clock.now_micros();
        let retry_at = if files.is_empty() { self.not_asked(now).await } else { self.pace(&found, now).await };
        let (answered, failed) = self.sort(found, now, retry_at);
        if !answered.is_empty() {
            let allowlist = &self.asking.allowlist;
            let provider = self.asking.provider.name();
            until_written(|| allowlist.answered(provider, &answered)).await;
        }
        if !failed.is_empty() {
            until_written(|| self.asking.allowlist.failed(&failed)).await;
        }
    }

    /// Nothing was asked after all, which says nothing about the provider.
    async fn not_asked(&self, now: i64) -> i64 {
        self.asking.pace.lock().await.lost(now);
        now
    }

    /// Tells the pace how it went, and people when that changed. Returns when failed files may be asked again.
    async fn pace(&self, found: &LookUp, now: i64) -> i64 {
        let Asking { pace, control, chance, .. } = &*self.asking;
        let mut pace = pace.lock().await;
        let Some(failure) = &found.failure else {
            if pace.succeeded() {
                tracing::info!("threat intelligence answers again");
            }
            if pace.is_open() {
                control.tally.set_health(Health::Working);
            }
            return now;
        };
        let retry_at = pace.failed(failure, now, chance.unit());
        let reason = failure.to_string();
        if failure.needs_a_person() {
            tracing::error!(%reason, "threat intelligence stopped; mend it, then run `doorward-cms intel recheck` or restart");
            control.tally.set_health(Health::Stopped { reason, retry_at });
        } else {
            tracing::warn!(%reason, "threat intelligence is not available; trying again");
            control.tally.set_health(Health::BackingOff { reason, retry_at });
        }
        retry_at
    }

    fn sort(&self, found: LookUp, now: i64, retry_at: i64) -> (Vec<Answered>, Vec<Failed>) {
        let mut items: HashMap<Sha256, Item> = found.items.into_iter().collect();
        let (mut answered, mut not) = (Vec::new(), Vec::new());
        for taken in &self.taken {
            match (items.remove(&taken.file), &found.failure) {
                (Some(Item::Answered(outcome)), _) => answered.push(self.answered(taken, outcome, now)),
                (Some(Item::Refused), _) => {
                    tracing::error!(file = %taken.file, "the provider calls this checksum ill-formed; it is not asked again");
                    self.asking.control.tally.count(FailureKind::InvalidHash, 1);
                    not.push(failed(taken.file, FailureKind::InvalidHash, None));
                }
                (None, Some(failure)) => not.push(failed(taken.file, failure.kind(), Some(self.retry(taken, failure, now, retry_at)))),
                (None, None) => {
                    self.asking.control.tally.count(FailureKind::Missing, u64::from(taken.file != Sha256::EMPTY));
                    let again = now.saturating_add(missing_wait(taken.attempts));
                    not.push(failed(taken.file, FailureKind::Missing, Some(again)));
                }
            }
        }
        (answered, not)
    }

    /// A file that alone is refused as malformed must not keep the provider from being asked about others: it waits on its own.
    fn retry(&self, taken: &Taken, failure: &Failure, now: i64, retry_at: i64) -> i64 {
        match failure {
            Failure::Rejected { .. } => retry_at.max(now.saturating_add(missing_wait(taken.attempts))),
            _ => retry_at,
        }
    }

    fn answered(&self, taken: &Taken, outcome: Outcome, now: i64) -> Answered {
        let Outcome { reputation, raw, sha1, md5 } = outcome;
        let since = class_since(taken, reputation.class).unwrap_or(now);
        let fresh_until = self.asking.lifetimes.fresh_until(&reputation, since, now, self.asking.chance.unit());
        Answered { file: taken.file, reputation, raw, sha1, md5, answered_at: now, fresh_until }
    }
}

/// Since when the provider says `class` without a break; `None` when it says so for the first time.
fn class_since(taken: &Taken, class: Class) -> Option<i64> {
    taken.class_since.filter(|_| taken.class == Some(class))
}

fn missing_wait(attempts: u32) -> i64 {
    let wait = MISSING_WAIT_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(MISSING_WAIT_MAX);
    i64::try_from(wait.as_micros()).expect("a day fits")
}

/// What was answered cost quota and time, so it is not thrown away because the disk is full for a moment. The slot stays taken
/// meanwhile, so nothing piles up; the program's end aborts it and the files are asked again.
async fn until_written<F: Future<Output = Result<(), E>>, E: std::fmt::Display>(write: impl Fn() -> F) {
    let mut quiet = 0_u32;
    while let Err(error) = write().await {
        if quiet.is_multiple_of(60) {
            tracing::error!(%error, "what threat intelligence said cannot be written; trying again every second");
        }
        quiet += 1;
        tokio::time::sleep(STORE_RETRY).await;
    }
}
