//! A new line of policy revisions, for a database that was restored from an older copy: hosts never go back, so what they are told has
//! to stand above whatever they have. An epoch is the time it began, so a later one is higher without anybody counting.

use doorward_policy::{HostId, ProfileId};
use doorward_proto::snapshot::Position;

use super::audit::{self, Act};
use super::column::{Columns, json, signed};
use super::incident::raise;
use super::{NewIncident, Result, Store};
use crate::incident::{Detail, Kind};
use crate::signals::Effect;

/// How far in the future an epoch may lie, in microseconds: clocks differ, and somebody may have set one back.
const EPOCH_AHEAD_US: i64 = 24 * 3600 * 1_000_000;

/// A host that has a newer policy than there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The host, which says so itself.
    pub host: HostId,
    /// Its profile.
    pub profile: ProfileId,
    /// The policy it says it has.
    pub position: Position,
}

impl Store {
    /// Begins a new epoch of the profile's policy above the one the host has, with an incident. Gives `false`, and changes nothing but
    /// the incident, when it `may` not, or when no epoch of ours can be above it: then the host says what cannot be.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn begin_epoch(&self, ahead: &Ahead, may: bool, now: i64) -> Result<(bool, Effect)> {
        const SELECT: &str = "SELECT p.name, p.epoch, p.revision, r.rules FROM profile p JOIN revision r \
             ON r.profile_id = p.id AND r.epoch = p.epoch AND r.revision = p.revision WHERE p.id = $1";
        const RAISE: &str = "UPDATE profile SET epoch = $2, revision = revision + 1 WHERE id = $1";
        const WRITE: &str = "INSERT INTO revision (profile_id, epoch, revision, change_id, rules, actor, at) \
             SELECT id, epoch, revision, change_id, $2, 'cms', $3 FROM profile WHERE id = $1";
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        let id = ahead.profile.as_bytes().as_slice();
        let row = sqlx::query(SELECT).bind(id).fetch_one(&mut *work).await?;
        let (columns, claimed) = (Columns(&row), ahead.position);
        let current = Position { epoch: columns.number("epoch")?, revision: columns.number("revision")? };
        if claimed <= current {
            // Another host of the profile was first.
            return Ok((true, effect));
        }
        let latest = u64::try_from(now.saturating_add(EPOCH_AHEAD_US)).unwrap_or(0);
        let begun = may && claimed.epoch <= latest;
        if begun {
            let epoch = u64::try_from(now).unwrap_or(0).max(claimed.epoch + 1);
            let (name, rules) = (columns.text("name")?, columns.text("rules")?);
            sqlx::query(RAISE).bind(id).bind(signed(epoch)).execute(&mut *work).await?;
            sqlx::query(WRITE).bind(id).bind(rules).bind(now).execute(&mut *work).await?;
            let (before, after) = (json(&current.to_string()), json(&epoch));
            let act = Act {
                at: now,
                actor: "cms",
                action: "profile.epoch",
                target: &name,
                before: Some(&before),
                after: Some(&after),
                ..Act::default()
            };
            audit::append(&mut work, act).await?;
            effect.policies.insert(ahead.profile);
        }
        let detail = Detail::Ahead {
            has_epoch: claimed.epoch,
            has_revision: claimed.revision,
            epoch: current.epoch,
            revision: current.revision,
            begun,
        };
        raise(&mut work, &NewIncident { kind: Kind::PolicyAhead, file: None, host: Some(ahead.host), detail }, now).await?;
        work.commit().await?;
        Ok((begun, effect))
    }

    /// Lifts a host's settings above the revision it says it has. Concerns nobody else, so it is believed; a claim no revision can be
    /// above is passed over.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn lift_settings(&self, host: HostId, has: u64) -> Result<bool> {
        const UPDATE: &str = "UPDATE host SET settings_revision = $2 + 1 WHERE id = $1 AND settings_revision < $2";
        let Some(has) = i64::try_from(has).ok().filter(|has| *has < i64::MAX / 2) else {
            return Ok(false);
        };
        let lifted = sqlx::query(UPDATE).bind(host.as_bytes().as_slice()).bind(has).execute(&self.writer).await?;
        Ok(lifted.rows_affected() > 0)
    }
}
