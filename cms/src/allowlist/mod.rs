//! What may run: marking files from facts, people's decisions and their limits, draft and publish, and the signed policies that come of
//! it. [`Allowlist`] is the door: it changes the store and then wakes whoever must know, as one piece that nothing cuts in two
//! ([`Allowlist::change`]). What follows from facts is decided by the pure [`mark()`], inside the store's transactions.

use std::sync::Arc;
use std::time::Duration;

use doorward_policy::HostId;
use doorward_proto::report::Report;
use doorward_proto::snapshot::PolicySigner;
use doorward_service::clock::Clock;
use tokio_util::task::TaskTracker;

use crate::signals::{Effect, Signals};
use crate::store::{FileDecision, Ingested, Published, Result, SourceDecision, Store, StoreError};

mod closure;
mod many;
mod mark;
mod opinion;
mod policies;

pub use crate::store::{Answered, Failed};
pub use closure::{BootClosure, Claim, Claims, HOSTS_BELIEVED_MIN, Unblockable};
pub use many::{Because, LeftOut};
pub use mark::{FileInProfile, HostAllows, Mark, People, RuleAllow, Sighting, Sources, asks, facts, mark, rank};
pub use opinion::{is_worse, opinion};
pub use policies::{Policies, PolicyError};

/// A person's decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// It would stop hosts from booting or from being managed.
    #[error(transparent)]
    Unblockable(#[from] Unblockable),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that can change what a file's standing is goes through here.
#[derive(Debug, Clone)]
pub struct Allowlist {
    store: Store,
    signals: Signals,
    policies: Arc<Policies>,
    clock: Clock,
    /// Changes under way.
    changes: TaskTracker,
}

impl Allowlist {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, signals: Signals, signer: Arc<PolicySigner>, clock: Clock) -> Self {
        let policies = Arc::new(Policies::new(store.clone(), signer));
        Self { store, signals, policies, clock, changes: TaskTracker::new() }
    }

    /// Carries out one change of the store and tells everybody it concerns. Once begun it runs to its end, whatever becomes of the
    /// caller: a client that hangs up, a deadline that passes or a stream that is displaced between the commit and the telling would
    /// leave hosts without a decision that is in force. This is the only way to tell anybody of an [`Effect`].
    ///
    /// # Errors
    /// What `work` gives; then nothing was changed and nobody is told.
    pub async fn change<T, E, F>(&self, work: impl FnOnce(Store) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<(T, Effect), E>> + Send + 'static,
    {
        let (work, signals) = (work(self.store.clone()), self.signals.clone());
        let task = self.changes.spawn(async move {
            let (outcome, effect) = work.await?;
            signals.tell(&effect);
            Ok(outcome)
        });
        match task.await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the runtime cancels it, and ends the caller too.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Waits until every change that was begun has ended, but no longer than `grace`; for the end of the server. Says whether all did.
    pub async fn settled(&self, grace: Duration) -> bool {
        self.changes.close();
        tokio::time::timeout(grace, self.changes.wait()).await.is_ok()
    }

    /// Takes a batch of a host's reports; once this returns, everything up to the watermark is on disk and may be acknowledged.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of the batch was kept.
    pub async fn ingest(&self, host: HostId, epoch: [u8; 16], reports: &[Report]) -> Result<Ingested> {
        let (reports, now) = (reports.to_vec(), self.clock.now_micros());
        self.change(|store| async move { store.ingest(host, epoch, &reports, now).await }).await
    }

    /// Takes answers of threat intelligence with everything that follows from them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answered(&self, provider: &str, answers: &[Answered]) -> Result<()> {
        let (provider, answers, now) = (provider.to_owned(), answers.to_vec(), self.clock.now_micros());
        self.change(|store| async move { Ok(((), store.answered(&provider, &answers, now).await?)) }).await
    }

    /// Takes failures to get answers. Nothing that was said before changes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn failed(&self, failures: &[Failed]) -> Result<()> {
        let (failures, now) = (failures.to_vec(), self.clock.now_micros());
        self.change(|store| async move { Ok(((), store.lookups_failed(&failures, now).await?)) }).await
    }

    /// Takes a person's decision on a file; it is in force when this returns.
    ///
    /// # Errors
    /// [`DecideError::Unblockable`] for a deny of what hosts cannot do without.
    pub async fn decide_file(&self, decision: &FileDecision, actor: &str) -> Result<(), DecideError> {
        let (decision, actor, now) = (decision.clone(), actor.to_owned(), self.clock.now_micros());
        self.change(|store| async move {
            if decision.decision == doorward_policy::Decision::Denied {
                let claims = store.claims(&decision.file, decision.owner).await?;
                BootClosure.refuses_file(&claims)?;
            }
            Ok(((), store.decide_file(&decision, &actor, now).await?))
        })
        .await
    }

    /// Drafts a person's decision on a package or publisher; it comes into force when its scope is published.
    ///
    /// # Errors
    /// [`DecideError::Unblockable`] for a deny of what hosts cannot do without.
    pub async fn decide_source(&self, decision: &SourceDecision, actor: &str) -> Result<(), DecideError> {
        let (decision, actor, now) = (decision.clone(), actor.to_owned(), self.clock.now_micros());
        self.change(|store| async move {
            if decision.decision == doorward_policy::Decision::Denied {
                BootClosure.refuses_source(&decision.source)?;
            }
            store.draft_source(&decision, &actor, now).await?;
            Ok(((), Effect::default()))
        })
        .await
    }

    /// Publishes the drafts of a profile or of the global scope; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`DecideError::Unblockable`] for a drafted deny of what hosts cannot do without: it may have been drafted when that was not known.
    pub async fn publish(&self, name: &str, actor: &str) -> Result<Option<Published>, DecideError> {
        let (name, actor, now) = (name.to_owned(), actor.to_owned(), self.clock.now_micros());
        self.change(|store| async move {
            for change in store.drafted_sources(&name).await?.iter().filter(|change| change.after == doorward_policy::Decision::Denied) {
                BootClosure.refuses_source(&change.source)?;
            }
            let published = store.publish(&name, &actor, now).await?;
            Ok(published.map_or_else(Default::default, |(published, effect)| (Some(published), effect)))
        })
        .await
    }

    /// Signed policies, as they are sent to hosts.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Where it is all kept.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What time it is.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }
}
