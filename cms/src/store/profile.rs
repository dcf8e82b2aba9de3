//! Profiles and the global scope above them: settings as drafted and as published, and the position of their policy.

use doorward_policy::{HostId, ProfileId};
use doorward_proto::snapshot::Position;
use serde::Serialize;

use super::audit::{self, Act};
use super::column::{Columns, json};
use super::{Connection, Result, Store, StoreError, mint};
use crate::profile::{GLOBAL, GLOBAL_NAME, Settings};

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Minted here.
    pub id: ProfileId,
    /// Unique; people name it by this.
    pub name: String,
    /// What enrollment tokens choose it by; `None` for the global scope.
    pub tag: Option<String>,
    /// Microseconds since 1970, UTC.
    pub created_at: i64,
    /// Settings as edited.
    pub draft: Settings,
    /// Settings in force.
    pub published: Settings,
    /// When somebody last published; `None` before the first time.
    pub published_at: Option<i64>,
    /// Who did.
    pub published_by: Option<String>,
    /// Line of revisions.
    pub epoch: u64,
    /// Policy in force.
    pub revision: u64,
    /// Hosts in it that were not removed.
    pub hosts: u64,
}

impl Profile {
    /// Epoch and revision of its policy.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, revision: self.revision }
    }
}

impl Store {
    pub(super) async fn create_global_scope(&self, now: i64) -> Result<()> {
        let mut work = self.begin().await?;
        insert(&mut work, GLOBAL, GLOBAL_NAME, None, now).await?;
        work.commit().await?;
        Ok(())
    }

    /// Makes a profile with default settings; its policy is at revision 1 and holds what the global scope holds. The name and the tag
    /// were checked by [`crate::profile::is_name`].
    ///
    /// # Errors
    /// [`StoreError::Taken`] for a name or tag that another profile has.
    pub async fn create_profile(&self, name: &str, tag: &str, actor: &str, now: i64) -> Result<Profile> {
        const TAKEN: &str = "SELECT name FROM profile WHERE name = $1 OR tag = $2";
        let mut work = self.begin().await?;
        if let Some(row) = sqlx::query(TAKEN).bind(name).bind(tag).fetch_optional(&mut *work).await? {
            let what = if Columns(&row).text("name")? == name { "profile" } else { "profile tag" };
            return Err(StoreError::Taken { what, name: if what == "profile" { name } else { tag }.into() });
        }
        insert(&mut work, ProfileId::new(mint(now)), name, Some(tag), now).await?;
        audit::append(&mut work, Act { at: now, actor, action: "profile.create", target: name, after: Some(tag), ..Act::default() })
            .await?;
        let profile = find(&mut work, name).await?.expect("it was inserted a moment ago");
        work.commit().await?;
        Ok(profile)
    }

    /// All profiles by name, the global scope not among them. There are few: people make them one by one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn profiles(&self) -> Result<Vec<Profile>> {
        const SELECT: &str = "SELECT p.*, (SELECT count(*) FROM host h WHERE h.profile_id = p.id AND h.removed_at IS NULL) AS hosts \
             FROM profile p WHERE p.tag IS NOT NULL ORDER BY p.name";
        let rows = sqlx::query(SELECT).fetch_all(&self.reader).await?;
        rows.iter().map(|row| profile(&Columns(row))).collect()
    }

    /// A profile, or the global scope, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn profile(&self, name: &str) -> Result<Option<Profile>> {
        find(&mut *self.reader.acquire().await?, name).await
    }

    /// Replaces a profile's draft settings.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn draft_settings(&self, id: ProfileId, draft: &Settings, actor: &str, now: i64) -> Result<()> {
        const SELECT: &str = "SELECT name, draft FROM profile WHERE id = $1";
        const UPDATE: &str = "UPDATE profile SET draft = $2 WHERE id = $1";
        let mut work = self.begin().await?;
        let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_one(&mut *work).await?;
        let (name, before, after) = (Columns(&row).text("name")?, Columns(&row).text("draft")?, json(draft));
        sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(&after).execute(&mut *work).await?;
        let act =
            Act { at: now, actor, action: "profile.draft", target: &name, before: Some(&before), after: Some(&after), ..Act::default() };
        audit::append(&mut work, act).await?;
        work.commit().await?;
        Ok(())
    }
}

/// Makes `host` the reference host of a profile that has none, or whose reference host was removed, in draft and in force; says whether
/// it is the reference host now.
pub(super) async fn adopt_reference_host(work: &mut Connection, id: ProfileId, host: HostId) -> Result<bool> {
    const SELECT: &str = "SELECT draft, published, publishing FROM profile WHERE id = $1";
    const UPDATE: &str = "UPDATE profile SET draft = $2, published = $3, publishing = $4 WHERE id = $1";
    let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_one(&mut *work).await?;
    let row = Columns(&row);
    let (mut draft, mut in_force): (Settings, Settings) = (row.json("draft")?, row.json("published")?);
    let mut publishing: Option<Settings> = row.maybe_json("publishing")?;
    if let Some(reference) = still_there(work, in_force.reference_host).await? {
        return Ok(reference == host);
    }
    in_force.reference_host = Some(host);
    for settings in [Some(&mut draft), publishing.as_mut()].into_iter().flatten() {
        settings.reference_host = still_there(work, settings.reference_host).await?.or(Some(host));
    }
    let query = sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(json(&draft)).bind(json(&in_force));
    query.bind(publishing.as_ref().map(json)).execute(work).await?;
    Ok(true)
}

async fn still_there(work: &mut Connection, host: Option<HostId>) -> Result<Option<HostId>> {
    const SELECT: &str = "SELECT id FROM host WHERE id = $1 AND removed_at IS NULL";
    let Some(host) = host else { return Ok(None) };
    Ok(sqlx::query(SELECT).bind(host.as_bytes().as_slice()).fetch_optional(work).await?.map(|_| host))
}

/// The settings files are marked by: those in force, or those of the publication under way, which is marking by them already.
pub(super) async fn marked_by(work: &mut Connection, id: ProfileId) -> Result<Settings> {
    const SELECT: &str = "SELECT coalesce(publishing, published) AS settings FROM profile WHERE id = $1";
    let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_one(work).await?;
    Columns(&row).json("settings")
}

/// The settings in force.
pub(super) async fn published(work: &mut Connection, id: ProfileId) -> Result<Settings> {
    const SELECT: &str = "SELECT published FROM profile WHERE id = $1";
    let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_one(work).await?;
    Columns(&row).json("published")
}

pub(super) async fn find(work: &mut Connection, name: &str) -> Result<Option<Profile>> {
    const SELECT: &str = "SELECT p.*, (SELECT count(*) FROM host h WHERE h.profile_id = p.id AND h.removed_at IS NULL) AS hosts \
         FROM profile p WHERE p.name = $1";
    let row = sqlx::query(SELECT).bind(name).fetch_optional(work).await?;
    row.map(|row| profile(&Columns(&row))).transpose()
}

pub(super) async fn by_id(work: &mut Connection, id: ProfileId) -> Result<Profile> {
    const SELECT: &str = "SELECT p.*, (SELECT count(*) FROM host h WHERE h.profile_id = p.id AND h.removed_at IS NULL) AS hosts \
         FROM profile p WHERE p.id = $1";
    let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_one(work).await?;
    profile(&Columns(&row))
}

async fn insert(work: &mut Connection, id: ProfileId, name: &str, tag: Option<&str>, now: i64) -> Result<()> {
    // The epoch is the time of creation: a line of revisions begun anew after a loss is a later one without anybody counting.
    const INSERT: &str = "INSERT INTO profile (id, name, tag, created_at, draft, published, epoch, revision, change_id) \
         SELECT $1, $2, $3, $4, $5, $5, $4, 1, value FROM counter WHERE name = 'change'";
    const REVISION: &str = "INSERT INTO revision (profile_id, epoch, revision, change_id, rules, actor, at) \
         SELECT id, epoch, revision, change_id, $2, 'cms', $3 FROM profile WHERE id = $1";
    let settings = Settings::default();
    sqlx::query(INSERT).bind(id.as_bytes().as_slice()).bind(name).bind(tag).bind(now).bind(json(&settings)).execute(&mut *work).await?;
    sqlx::query(REVISION).bind(id.as_bytes().as_slice()).bind(json(&settings.rules())).bind(now).execute(work).await?;
    Ok(())
}

fn profile(row: &Columns<'_>) -> Result<Profile> {
    Ok(Profile {
        id: row.profile("id")?,
        name: row.text("name")?,
        tag: row.maybe_text("tag")?,
        created_at: row.time("created_at")?,
        draft: row.json("draft")?,
        published: row.json("published")?,
        published_at: row.maybe_time("published_at")?,
        published_by: row.maybe_text("published_by")?,
        epoch: row.number("epoch")?,
        revision: row.number("revision")?,
        hosts: row.number("hosts")?,
    })
}
