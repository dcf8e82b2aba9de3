//! What may run: marking files from facts, people's decisions and their limits, draft and publish, and the signed policies that come of
//! it. [`Allowlist`] is the door: it changes the store and then wakes whoever must know. What follows from facts is decided by the pure
//! [`mark()`], inside the store's transactions.

use std::sync::Arc;

use doorward_policy::HostId;
use doorward_proto::report::Report;
use doorward_proto::snapshot::PolicySigner;
use doorward_service::clock::Clock;

use crate::signals::Signals;
use crate::store::{FileDecision, Ingested, Published, Result, SourceDecision, Store, StoreError};

mod closure;
mod mark;
mod opinion;
mod policies;

pub use crate::store::{Answered, Failed};
pub use closure::{BootClosure, Claim, Unblockable};
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
}

impl Allowlist {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Store, signals: Signals, signer: Arc<PolicySigner>, clock: Clock) -> Self {
        let policies = Arc::new(Policies::new(store.clone(), signer));
        Self { store, signals, policies, clock }
    }

    /// Takes a batch of a host's reports; once this returns, everything up to the watermark is on disk and may be acknowledged.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of the batch was kept.
    pub async fn ingest(&self, host: HostId, epoch: [u8; 16], reports: &[Report]) -> Result<Ingested> {
        let (ingested, effect) = self.store.ingest(host, epoch, reports, self.clock.now_micros()).await?;
        self.signals.tell(&effect);
        Ok(ingested)
    }

    /// Takes answers of threat intelligence with everything that follows from them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answered(&self, provider: &str, answers: &[Answered]) -> Result<()> {
        let effect = self.store.answered(provider, answers, self.clock.now_micros()).await?;
        self.signals.tell(&effect);
        Ok(())
    }

    /// Takes failures to get answers. Nothing that was said before changes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn failed(&self, failures: &[Failed]) -> Result<()> {
        let effect = self.store.lookups_failed(failures, self.clock.now_micros()).await?;
        self.signals.tell(&effect);
        Ok(())
    }

    /// Takes a person's decision on a file; it is in force when this returns.
    ///
    /// # Errors
    /// [`DecideError::Unblockable`] for a deny of what hosts cannot do without.
    pub async fn decide_file(&self, decision: &FileDecision, actor: &str) -> Result<(), DecideError> {
        if decision.decision == doorward_policy::Decision::Denied {
            let claims = self.store.claims(&decision.file).await?;
            BootClosure.refuses_file(&claims)?;
        }
        let effect = self.store.decide_file(decision, actor, self.clock.now_micros()).await?;
        self.signals.tell(&effect);
        Ok(())
    }

    /// Drafts a person's decision on a package or publisher; it comes into force when its scope is published.
    ///
    /// # Errors
    /// [`DecideError::Unblockable`] for a deny of what hosts cannot do without.
    pub async fn decide_source(&self, decision: &SourceDecision, actor: &str) -> Result<(), DecideError> {
        if decision.decision == doorward_policy::Decision::Denied {
            BootClosure.refuses_source(&decision.source)?;
        }
        self.store.draft_source(decision, actor, self.clock.now_micros()).await?;
        Ok(())
    }

    /// Publishes the drafts of a profile or of the global scope; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish(&self, name: &str, actor: &str) -> Result<Option<Published>> {
        let Some((published, effect)) = self.store.publish(name, actor, self.clock.now_micros()).await? else {
            return Ok(None);
        };
        self.signals.tell(&effect);
        Ok(Some(published))
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

    /// Whom to wake.
    #[must_use]
    pub const fn signals(&self) -> &Signals {
        &self.signals
    }

    /// What time it is.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }
}
