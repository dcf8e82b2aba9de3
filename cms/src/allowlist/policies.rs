//! Signed policies as hosts get them. The newest of each profile is kept in memory and brought up to date from the change table, so a
//! decision costs a merge and a signature, however many records there are. Merging, hashing and signing are done on threads that may block,
//! one profile at a time: neither the other hosts' streams nor the other profiles wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use doorward_policy::ProfileId;
use doorward_proto::limit::PART_BYTES_MAX;
use doorward_proto::snapshot::{Delta, Policy, PolicySigner, Position, REMOVAL_BYTES, Record, Refusal, VersionRules};
use tokio::sync::Mutex;

use crate::store::{PolicyRow, PolicyRows, RowChange, Store, StoreError};

/// Changes read at a time; with more behind, everything is read anew.
const CHANGES_READ_MAX: u32 = 100_000;

/// Profiles whose policies are kept in memory; beyond it the one used longest ago goes.
const POLICIES_KEPT_MAX: usize = 64;

/// A policy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such profile.
    #[error("there is no profile {0}")]
    NoProfile(ProfileId),
    /// There are more records than a policy can hold.
    #[error("the policy of profile {profile} cannot be made: {refusal}; reset decisions that no longer matter")]
    Refused {
        /// Whose.
        profile: ProfileId,
        /// Why.
        refusal: Refusal,
    },
}

/// Every profile's policy.
#[derive(Debug)]
pub struct Policies {
    store: Store,
    signer: Arc<PolicySigner>,
    places: std::sync::Mutex<BTreeMap<ProfileId, Place>>,
}

/// Where one profile's policy is kept. Held by whoever works on it, so that it is never made twice at a time.
#[derive(Debug, Default)]
struct Place {
    kept: Arc<Mutex<Option<Kept>>>,
    used: u64,
}

#[derive(Debug)]
struct Kept {
    policy: Arc<Policy>,
    records: BTreeMap<[u8; REMOVAL_BYTES], Record>,
    change_id: i64,
}

impl Policies {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new(store: Store, signer: Arc<PolicySigner>) -> Self {
        Self { store, signer, places: std::sync::Mutex::default() }
    }

    /// A profile's policy as published now.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub async fn current(&self, profile: ProfileId) -> Result<Arc<Policy>, PolicyError> {
        let place = self.place(profile);
        let mut place = place.lock().await;
        // What is taken out and not put back, because the work failed or nobody waits for it any more, is made anew from the store.
        let fresh = match place.take() {
            Some(known) => match self.store.policy_changes(profile, known.change_id, CHANGES_READ_MAX).await? {
                Some(changes) if changes.position == known.policy.head().position() => known,
                Some(changes) => self.work(move |signer| known.brought_up_to_date(profile, &changes, &signer)).await?,
                None => self.anew(profile).await?,
            },
            None => self.anew(profile).await?,
        };
        let policy = Arc::clone(&fresh.policy);
        *place = Some(fresh);
        Ok(policy)
    }

    /// The profile's place; makes room for it.
    fn place(&self, profile: ProfileId) -> Arc<Mutex<Option<Kept>>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let used = places.values().map(|place| place.used).max().unwrap_or(0) + 1;
        let place = places.entry(profile).or_default();
        place.used = used;
        let kept = Arc::clone(&place.kept);
        if places.len() > POLICIES_KEPT_MAX
            && let Some(oldest) = places.iter().min_by_key(|(_, place)| place.used).map(|(profile, _)| *profile)
        {
            places.remove(&oldest);
        }
        kept
    }

    async fn anew(&self, profile: ProfileId) -> Result<Kept, PolicyError> {
        let rows = self.store.policy_rows(profile).await?.ok_or(PolicyError::NoProfile(profile))?;
        self.work(move |signer| Kept::new(profile, &rows, &signer)).await
    }

    /// PERF: a large policy is sorted, hashed and signed for whole seconds.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<PolicySigner>) -> Result<T, PolicyError> + Send + 'static,
    ) -> Result<T, PolicyError> {
        let signer = Arc::clone(&self.signer);
        match tokio::task::spawn_blocking(move || work(signer)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the runtime cancels it, and ends the caller too.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// The step from an earlier revision to the one published now. `None` when there is none that fits a message, or the earlier one was
    /// never published here: then the whole policy must be sent.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub async fn delta(&self, profile: ProfileId, from: Position) -> Result<Option<Delta>, PolicyError> {
        let current = self.current(profile).await?;
        let newer = from.epoch == current.head().epoch && from.revision < current.head().revision;
        let (true, Some(since)) = (newer, self.store.change_at(profile, from).await?) else {
            return Ok(None);
        };
        let Some(changes) = self.store.policy_changes(profile, since, CHANGES_READ_MAX).await? else {
            return Ok(None);
        };
        if changes.position == current.head().position() {
            return Ok(step(from, since, &current, &changes));
        }
        // Published again between the two questions: the newest policy is the one to step to.
        let current = self.current(profile).await?;
        Ok((changes.position == current.head().position()).then(|| step(from, since, &current, &changes)).flatten())
    }
}

impl Kept {
    fn new(profile: ProfileId, rows: &PolicyRows<PolicyRow>, signer: &PolicySigner) -> Result<Self, PolicyError> {
        let records: BTreeMap<_, _> = rows.rows.iter().filter_map(|row| Some((row.key, row.record()?))).collect();
        let policy = sign(profile, rows, &records, signer)?;
        Ok(Self { policy, records, change_id: rows.change_id })
    }

    fn brought_up_to_date(
        mut self,
        profile: ProfileId,
        changes: &PolicyRows<RowChange>,
        signer: &PolicySigner,
    ) -> Result<Self, PolicyError> {
        for change in &changes.rows {
            match change.after.and_then(|flags| PolicyRow { key: change.key, flags }.record()) {
                Some(record) => drop(self.records.insert(change.key, record)),
                None => drop(self.records.remove(&change.key)),
            }
        }
        self.change_id = changes.change_id;
        self.policy = sign(profile, changes, &self.records, signer)?;
        Ok(self)
    }
}

fn sign<T>(
    profile: ProfileId,
    rows: &PolicyRows<T>,
    records: &BTreeMap<[u8; REMOVAL_BYTES], Record>,
    signer: &PolicySigner,
) -> Result<Arc<Policy>, PolicyError> {
    VersionRules::new(rows.version_rules.iter().cloned())
        .and_then(|versions| Policy::publish_with(profile, rows.position, rows.rules, versions, records.values().copied(), signer))
        .map(Arc::new)
        .map_err(|refusal| PolicyError::Refused { profile, refusal })
}

/// The step from the revision `from`, which held the change `since` as its newest.
fn step(from: Position, since: i64, current: &Policy, changes: &PolicyRows<RowChange>) -> Option<Delta> {
    let (mut upserts, mut removals) = (Vec::new(), Vec::new());
    for change in &changes.rows {
        match change.after {
            Some(flags) => {
                upserts.extend_from_slice(&change.key);
                upserts.extend_from_slice(&flags);
            }
            None => removals.extend_from_slice(&change.key),
        }
    }
    let fits = upserts.len() <= PART_BYTES_MAX && removals.len() <= PART_BYTES_MAX;
    fits.then(|| Delta {
        base_epoch: from.epoch,
        base_revision: from.revision,
        head: *current.signed_head(),
        version_rules: (changes.version_rules_change > since).then(|| current.version_rules().bytes().clone()),
        upserts: Bytes::from(upserts),
        removals: Bytes::from(removals),
    })
}
