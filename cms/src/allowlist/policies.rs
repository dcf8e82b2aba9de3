//! Signed policies as hosts get them. The newest of each profile is kept in memory and brought up to date from the change table, so a
//! decision costs a merge and a signature, however many records there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use doorward_policy::ProfileId;
use doorward_proto::limit::PART_BYTES_MAX;
use doorward_proto::snapshot::{Delta, Policy, PolicySigner, Position, REMOVAL_BYTES, Record, Refusal};
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
    kept: Mutex<BTreeMap<ProfileId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    policy: Arc<Policy>,
    records: BTreeMap<[u8; REMOVAL_BYTES], Record>,
    change_id: i64,
    used: u64,
}

impl Policies {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new(store: Store, signer: Arc<PolicySigner>) -> Self {
        Self { store, signer, kept: Mutex::default() }
    }

    /// A profile's policy as published now.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub async fn current(&self, profile: ProfileId) -> Result<Arc<Policy>, PolicyError> {
        let mut kept = self.kept.lock().await;
        let used = kept.values().map(|kept| kept.used).max().unwrap_or(0) + 1;
        if let Some(known) = kept.get_mut(&profile)
            && let Some(changes) = self.store.policy_changes(profile, known.change_id, CHANGES_READ_MAX).await?
        {
            self.bring_up_to_date(profile, known, &changes)?;
            known.used = used;
            return Ok(Arc::clone(&known.policy));
        }
        let rows = self.store.policy_rows(profile).await?.ok_or(PolicyError::NoProfile(profile))?;
        let fresh = self.make(profile, &rows, used)?;
        let policy = Arc::clone(&fresh.policy);
        kept.insert(profile, fresh);
        if kept.len() > POLICIES_KEPT_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, kept)| kept.used).map(|(profile, _)| *profile)
        {
            kept.remove(&oldest);
        }
        Ok(policy)
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
            return Ok(step(from, &current, &changes.rows));
        }
        // Published again between the two questions: the newest policy is the one to step to.
        let current = self.current(profile).await?;
        Ok((changes.position == current.head().position()).then(|| step(from, &current, &changes.rows)).flatten())
    }

    fn make(&self, profile: ProfileId, rows: &PolicyRows<PolicyRow>, used: u64) -> Result<Kept, PolicyError> {
        let records: BTreeMap<_, _> = rows.rows.iter().filter_map(|row| Some((row.key, row.record()?))).collect();
        let policy = self.sign(profile, rows, &records)?;
        Ok(Kept { policy, records, change_id: rows.change_id, used })
    }

    fn bring_up_to_date(&self, profile: ProfileId, kept: &mut Kept, changes: &PolicyRows<RowChange>) -> Result<(), PolicyError> {
        if changes.position == kept.policy.head().position() {
            return Ok(());
        }
        for change in &changes.rows {
            match change.after.and_then(|flags| PolicyRow { key: change.key, flags }.record()) {
                Some(record) => drop(kept.records.insert(change.key, record)),
                None => drop(kept.records.remove(&change.key)),
            }
        }
        kept.change_id = changes.change_id;
        kept.policy = self.sign(profile, changes, &kept.records)?;
        Ok(())
    }

    fn sign<T>(
        &self,
        profile: ProfileId,
        rows: &PolicyRows<T>,
        records: &BTreeMap<[u8; REMOVAL_BYTES], Record>,
    ) -> Result<Arc<Policy>, PolicyError> {
        Policy::publish(profile, rows.position, rows.rules, records.values().copied(), &self.signer)
            .map(Arc::new)
            .map_err(|refusal| PolicyError::Refused { profile, refusal })
    }
}

fn step(from: Position, current: &Policy, changes: &[RowChange]) -> Option<Delta> {
    let (mut upserts, mut removals) = (Vec::new(), Vec::new());
    for change in changes {
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
        upserts: Bytes::from(upserts),
        removals: Bytes::from(removals),
    })
}
