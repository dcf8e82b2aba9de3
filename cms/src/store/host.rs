//! Hosts: who was enrolled, what they say of themselves, what they run by, and when they were last heard of.

use doorward_policy::{HostId, Mode, ProfileId};
use doorward_proto::enrollment::HostFacts;
use doorward_proto::report::{Coverage, Health};
use doorward_proto::uplink::{CAPABILITY_PROTECT, HostSettings};
use serde::Serialize;
use uuid::Uuid;

use super::audit::{self, Act};
use super::column::{Columns, json, signed, word};
use super::{Connection, Cursor, Page, PageRequest, Result, Store, remark};
use crate::profile::Settings;
use crate::signals::Effect;

/// The certificate a host was given last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Microseconds since 1970, UTC.
    pub not_after: i64,
}

/// A host that has just spent a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHost {
    /// Minted at enrollment and already in its certificate.
    pub id: HostId,
    /// The token's.
    pub profile: ProfileId,
    /// Claims.
    pub facts: HostFacts,
    /// Its first one.
    pub certificate: Certificate,
    /// What it spent.
    pub token: Uuid,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Minted at enrollment.
    pub id: HostId,
    /// What it calls itself; not unique.
    pub name: String,
    /// Its profile.
    pub profile_id: ProfileId,
    /// That profile's name.
    pub profile: String,
    /// Claims.
    pub facts: HostFacts,
    /// As of its last hello; empty before the first.
    pub agent_version: String,
    /// What its agent can do, as of its last hello; words this program does not know among them.
    pub capabilities: Vec<String>,
    /// Microseconds since 1970, UTC.
    pub enrolled_at: i64,
    /// When its certificate ends, microseconds since 1970, UTC.
    pub certificate_not_after: i64,
    /// Microseconds since 1970, UTC; `None` before its first hello.
    pub last_seen_at: Option<i64>,
    /// Its stream is open.
    pub connected: bool,
    /// Set once it may no longer connect.
    pub removed_at: Option<i64>,
    /// How far its agent is to act.
    pub mode: Mode,
    /// The mode is its own and not its profile's.
    pub mode_is_own: bool,
    /// How far its agent acts: less than wanted when it cannot do more. `None` while that is not known: before its first hello, and
    /// until it has taken its newest settings.
    pub mode_in_force: Option<Mode>,
    /// Settings it is to run by.
    pub settings_revision: u64,
    /// Settings it runs by.
    pub settings_in_force: InForce,
    /// Policy it runs by.
    pub policy_in_force: InForce,
    /// As last reported.
    pub coverage: Option<Coverage>,
    /// As last reported.
    pub health: Option<Health>,
}

/// What a host says it runs by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InForce {
    /// Line of revisions; 0 for settings, which have only one.
    pub epoch: u64,
    /// 0 before any.
    pub revision: u64,
    /// Why it did not take what it was sent last; `None` when it did.
    pub refused: Option<String>,
}

const SELECT: &str = "SELECT h.*, p.name AS profile, p.published FROM host h JOIN profile p ON p.id = h.profile_id WHERE h.id = $1";

impl Store {
    /// Keeps a host whose certificate was just signed.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn enroll_host(&self, new: &NewHost, now: i64) -> Result<()> {
        let mut work = self.begin().await?;
        insert(&mut work, new, now).await?;
        work.commit().await?;
        Ok(())
    }

    /// A host, removed or not.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn host(&self, id: HostId) -> Result<Option<Host>> {
        let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_optional(&self.reader).await?;
        row.map(|row| host(&Columns(&row))).transpose()
    }

    /// Hosts that call themselves `name` and were not removed; at most two, enough to see that the name is ambiguous.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn hosts_named(&self, name: &str) -> Result<Vec<Host>> {
        const SELECT: &str = "SELECT h.*, p.name AS profile, p.published FROM host h JOIN profile p ON p.id = h.profile_id \
             WHERE h.name = $1 AND h.removed_at IS NULL ORDER BY h.id LIMIT 2";
        let rows = sqlx::query(SELECT).bind(name).fetch_all(&self.reader).await?;
        rows.iter().map(|row| host(&Columns(row))).collect()
    }

    /// Hosts that were not removed, in order of enrollment.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn hosts(&self, page: &PageRequest) -> Result<Page<Host>> {
        const SELECT: &str = "SELECT h.*, p.name AS profile, p.published FROM host h JOIN profile p ON p.id = h.profile_id \
             WHERE h.removed_at IS NULL AND h.id > $1 ORDER BY h.id LIMIT $2";
        let after = page.after.as_ref().map_or(Ok([0; 16]), Cursor::key)?;
        let rows = sqlx::query(SELECT).bind(after.as_slice()).bind(i64::from(page.limit) + 1).fetch_all(&self.reader).await?;
        let hosts = rows.iter().map(|row| host(&Columns(row))).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(hosts, page.limit, |host| Cursor::new(host.id.as_bytes().as_slice())))
    }

    /// Takes what a host said in its hello; it is connected from now on.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn host_seen(&self, id: HostId, facts: &HostFacts, agent_version: &str, now: i64) -> Result<()> {
        const UPDATE: &str = "UPDATE host SET name = $2, facts = $3, agent_version = $4, last_seen_at = $5, connected = 1 WHERE id = $1";
        sqlx::query(UPDATE)
            .bind(id.as_bytes().as_slice())
            .bind(&facts.host_name)
            .bind(json(facts))
            .bind(agent_version)
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Takes what a host's agent can do, as its hello says.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn host_capabilities(&self, id: HostId, words: &[String]) -> Result<()> {
        const UPDATE: &str = "UPDATE host SET capabilities = $2 WHERE id = $1";
        sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(json(&words)).execute(&self.writer).await?;
        Ok(())
    }

    /// These hosts were heard of just now.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn hosts_alive(&self, ids: &[HostId], now: i64) -> Result<()> {
        const UPDATE: &str = "UPDATE host SET last_seen_at = $2 WHERE id = $1";
        let mut work = self.begin().await?;
        for id in ids {
            sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(now).execute(&mut *work).await?;
        }
        work.commit().await?;
        Ok(())
    }

    /// As [`Self::hosts_alive`], with the counters the heartbeats carried.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn heartbeats(&self, beats: &[(HostId, Health)], now: i64) -> Result<()> {
        const UPDATE: &str = "UPDATE host SET last_seen_at = $2, health = $3 WHERE id = $1";
        let mut work = self.begin().await?;
        for (id, health) in beats {
            sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(now).bind(json(health)).execute(&mut *work).await?;
        }
        work.commit().await?;
        Ok(())
    }

    /// A host's stream ended.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn host_disconnected(&self, id: HostId, now: i64) -> Result<()> {
        const UPDATE: &str = "UPDATE host SET connected = 0, last_seen_at = $2 WHERE id = $1";
        sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(now).execute(&self.writer).await?;
        Ok(())
    }

    /// No stream survived; for the start of the server.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn all_disconnected(&self) -> Result<()> {
        sqlx::query("UPDATE host SET connected = 0 WHERE connected <> 0").execute(&self.writer).await?;
        Ok(())
    }

    /// A host was given a fresh certificate.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn host_certified(&self, id: HostId, certificate: &Certificate) -> Result<()> {
        const UPDATE: &str = "UPDATE host SET certificate_serial = $2, certificate_not_after = $3 WHERE id = $1";
        sqlx::query(UPDATE)
            .bind(id.as_bytes().as_slice())
            .bind(&certificate.serial)
            .bind(certificate.not_after)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// A host said which policy it runs by, or why it does not take the one it was sent.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn policy_in_force(&self, id: HostId, state: &InForce) -> Result<()> {
        const TAKEN: &str = "UPDATE host SET policy_epoch = $2, policy_revision = $3, policy_refused = NULL WHERE id = $1";
        const REFUSED: &str = "UPDATE host SET policy_refused = $2 WHERE id = $1";
        let query = match &state.refused {
            Some(why) => sqlx::query(REFUSED).bind(id.as_bytes().as_slice()).bind(why),
            None => sqlx::query(TAKEN).bind(id.as_bytes().as_slice()).bind(signed(state.epoch)).bind(signed(state.revision)),
        };
        query.execute(&self.writer).await?;
        Ok(())
    }

    /// A host said which settings it runs by, or why it does not take those it was sent.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn settings_in_force(&self, id: HostId, state: &InForce) -> Result<()> {
        const TAKEN: &str = "UPDATE host SET settings_in_force = $2, settings_refused = NULL WHERE id = $1";
        const REFUSED: &str = "UPDATE host SET settings_refused = $2 WHERE id = $1";
        let query = match &state.refused {
            Some(why) => sqlx::query(REFUSED).bind(id.as_bytes().as_slice()).bind(why),
            None => sqlx::query(TAKEN).bind(id.as_bytes().as_slice()).bind(signed(state.revision)),
        };
        query.execute(&self.writer).await?;
        Ok(())
    }

    /// How a host is to work: its profile's published settings with its own on top. `None` when it is unknown or removed.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn host_settings(&self, id: HostId) -> Result<Option<HostSettings>> {
        const SELECT: &str = "SELECT h.mode, h.settings_revision, p.published FROM host h JOIN profile p ON p.id = h.profile_id \
             WHERE h.id = $1 AND h.removed_at IS NULL";
        let Some(row) = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_optional(&self.reader).await? else {
            return Ok(None);
        };
        let columns = Columns(&row);
        let settings: Settings = columns.json("published")?;
        Ok(Some(HostSettings {
            revision: columns.number("settings_revision")?,
            mode: columns.maybe_word("mode")?.unwrap_or(settings.mode),
            coverage: settings.coverage,
            unverified_action: settings.unverified_action,
            maintenance_until: None,
            exclusions: settings.exclusions,
            kill_on_bad_verdict: settings.kill_on_bad_verdict,
            trusted_mounts: settings.trusted_mounts,
            interpreters: settings.interpreters,
            open_exclusions: settings.open_exclusions,
            archive_keys: settings.archive_keys,
        }))
    }

    /// Gives a host a mode of its own, or its profile's again; at once, since it concerns one host alone.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn set_host_mode(&self, id: HostId, mode: Option<Mode>, actor: &str, now: i64) -> Result<Effect> {
        const UPDATE: &str = "UPDATE host SET mode = $2, settings_revision = settings_revision + 1 WHERE id = $1";
        let mode = mode.as_ref().map(word);
        let mut work = self.begin().await?;
        sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(&mode).execute(&mut *work).await?;
        let target = id.to_string();
        let after = Some(mode.as_deref().unwrap_or("profile"));
        audit::append(&mut work, Act { at: now, actor, action: "host.mode", target: &target, after, ..Act::default() }).await?;
        work.commit().await?;
        Ok(Effect { host_settings: [id].into(), ..Effect::default() })
    }

    /// Takes a host's right to connect. What it reported stays to be read; what it proved counts no more.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn remove_host(&self, id: HostId, actor: &str, now: i64) -> Result<Effect> {
        const UPDATE: &str = "UPDATE host SET removed_at = $2, connected = 0 WHERE id = $1 AND removed_at IS NULL";
        let mut work = self.begin().await?;
        sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(now).execute(&mut *work).await?;
        let target = id.to_string();
        audit::append(&mut work, Act { at: now, actor, action: "host.remove", target: &target, ..Act::default() }).await?;
        remark::files_of_host(&mut work, id).await?;
        work.commit().await?;
        let mut effect = Effect { removed: [id].into(), ..Effect::default() };
        self.forget_proofs(id, now, &mut effect).await?;
        Ok(effect)
    }

    /// Hosts that should be there and were last heard of before `seen_before`.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn silent_hosts(&self, seen_before: i64) -> Result<Vec<HostId>> {
        const SELECT: &str = "SELECT id FROM host WHERE removed_at IS NULL AND connected = 0 AND coalesce(last_seen_at, enrolled_at) < $1";
        let rows = sqlx::query(SELECT).bind(seen_before).fetch_all(&self.reader).await?;
        rows.iter().map(|row| Columns(row).host("id")).collect()
    }
}

fn host(row: &Columns<'_>) -> Result<Host> {
    let own: Option<Mode> = row.maybe_word("mode")?;
    let settings: Settings = row.json("published")?;
    let (mode, agent_version) = (own.unwrap_or(settings.mode), row.text("agent_version")?);
    let capabilities: Vec<String> = row.json("capabilities")?;
    let is_current = row.integer("settings_in_force")? == row.integer("settings_revision")? && !agent_version.is_empty();
    let can_protect = capabilities.iter().any(|word| word == CAPABILITY_PROTECT);
    let able = if mode == Mode::Protect && !can_protect { Mode::Detect } else { mode };
    Ok(Host {
        id: row.host("id")?,
        name: row.text("name")?,
        profile_id: row.profile("profile_id")?,
        profile: row.text("profile")?,
        facts: row.json("facts")?,
        agent_version,
        capabilities,
        enrolled_at: row.time("enrolled_at")?,
        certificate_not_after: row.time("certificate_not_after")?,
        last_seen_at: row.maybe_time("last_seen_at")?,
        connected: row.flag("connected")?,
        removed_at: row.maybe_time("removed_at")?,
        mode,
        mode_is_own: own.is_some(),
        mode_in_force: is_current.then_some(able),
        settings_revision: row.number("settings_revision")?,
        settings_in_force: InForce { epoch: 0, revision: row.number("settings_in_force")?, refused: row.maybe_text("settings_refused")? },
        policy_in_force: InForce {
            epoch: row.number("policy_epoch")?,
            revision: row.number("policy_revision")?,
            refused: row.maybe_text("policy_refused")?,
        },
        coverage: row.maybe_json("coverage")?,
        health: row.maybe_json("health")?,
    })
}

/// Keeps a host, in the caller's transaction.
pub(super) async fn insert(work: &mut Connection, new: &NewHost, now: i64) -> Result<()> {
    const INSERT: &str = "INSERT INTO host (id, profile_id, name, facts, agent_version, token_id, certificate_serial, \
         certificate_not_after, enrolled_at, connected, settings_revision, settings_in_force, policy_epoch, policy_revision) \
         VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, 0, 1, 0, 0, 0)";
    sqlx::query(INSERT)
        .bind(new.id.as_bytes().as_slice())
        .bind(new.profile.as_bytes().as_slice())
        .bind(&new.facts.host_name)
        .bind(json(&new.facts))
        .bind(new.token.as_bytes().as_slice())
        .bind(&new.certificate.serial)
        .bind(new.certificate.not_after)
        .bind(now)
        .execute(&mut *work)
        .await?;
    let (id, name) = (new.id.to_string(), json(&new.facts.host_name));
    let act = Act { at: now, actor: "cms", action: "host.enroll", target: &id, after: Some(&name), ..Act::default() };
    audit::append(work, act).await
}
