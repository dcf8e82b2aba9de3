//! Incidents: one stays open for each (kind, file, host) and counts what happens again. A closed one is history; the next occurrence
//! opens another.

use doorward_policy::{HostId, ProfileId, Sha256};
use serde::Serialize;
use sha2::Digest;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::audit::{self, Act};
use super::batch::{ROWS_MAX, digests};
use super::column::{Columns, json, word};
use super::{Connection, Cursor, Page, PageRequest, Result, Store, mint};
use crate::incident::{Detail, Kind};
use crate::profile::GLOBAL;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIncident {
    /// What.
    pub kind: Kind,
    /// To which file.
    pub file: Option<Sha256>,
    /// On which host; `None` when it concerns all.
    pub host: Option<HostId>,
    /// The newest occurrence's details replace those before it.
    pub detail: Detail,
}

/// Which incidents are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IncidentFilter {
    /// Only open ones, or only closed ones.
    pub open: Option<bool>,
    /// Only those about this file.
    pub file: Option<Sha256>,
}

/// An incident as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentView {
    /// UUIDv7.
    pub id: Uuid,
    /// What happened.
    pub kind: Kind,
    /// To which file.
    pub file: Option<Sha256>,
    /// On which host.
    pub host_id: Option<HostId>,
    /// That host's name.
    pub host: Option<String>,
    /// Nobody closed it yet.
    pub open: bool,
    /// Microseconds since 1970, UTC.
    pub first_at: i64,
    /// Microseconds since 1970, UTC.
    pub last_at: i64,
    /// How often it happened while it was open.
    pub count: u64,
    /// By kind.
    pub detail: Detail,
    /// Microseconds since 1970, UTC.
    pub closed_at: Option<i64>,
    /// A person, or `rule` when what happened was allowed afterwards, or `cms` when it ended by itself.
    pub closed_by: Option<String>,
    /// Why.
    pub comment: Option<String>,
}

const SELECT: &str = "SELECT i.*, h.name AS host FROM incident i LEFT JOIN host h ON h.id = i.host_id WHERE i.id = $1";

impl Store {
    /// Opens an incident, or counts it where one is open.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn raise_incident(&self, new: &NewIncident, now: i64) -> Result<()> {
        let mut work = self.begin().await?;
        raise(&mut work, new, now).await?;
        work.commit().await?;
        Ok(())
    }

    /// Closes what has ended by itself.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn close_incident(&self, kind: Kind, file: Option<Sha256>, host: Option<HostId>, now: i64) -> Result<()> {
        const UPDATE: &str = "UPDATE incident SET open_key = NULL, closed_at = $2, closed_by = 'cms' WHERE open_key = $1";
        sqlx::query(UPDATE).bind(open_key(kind, file, host)).bind(now).execute(&self.writer).await?;
        Ok(())
    }

    /// Closes an incident for a person who has seen to it. `None` when there is none with this id; one that is closed stays as it is.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn acknowledge_incident(&self, id: Uuid, actor: &str, comment: Option<&str>, now: i64) -> Result<Option<IncidentView>> {
        const UPDATE: &str = "UPDATE incident SET open_key = NULL, closed_at = $2, closed_by = $3, comment = $4 \
             WHERE id = $1 AND closed_at IS NULL";
        let mut work = self.begin().await?;
        let query = sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(now).bind(actor).bind(comment);
        if query.execute(&mut *work).await?.rows_affected() > 0 {
            let target = id.to_string();
            let act = Act { at: now, actor, action: "incident.acknowledge", target: &target, comment, ..Act::default() };
            audit::append(&mut work, act).await?;
        }
        let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_optional(&mut *work).await?;
        let incident = row.map(|row| incident(&Columns(&row))).transpose()?;
        work.commit().await?;
        Ok(incident)
    }

    /// An incident by id.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn incident(&self, id: Uuid) -> Result<Option<IncidentView>> {
        let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_optional(&self.reader).await?;
        row.map(|row| incident(&Columns(&row))).transpose()
    }

    /// Incidents, newest first.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn incidents(&self, filter: &IncidentFilter, page: &PageRequest) -> Result<Page<IncidentView>> {
        const SELECT: &str = "SELECT i.*, h.name AS host FROM incident i LEFT JOIN host h ON h.id = i.host_id \
             WHERE i.id < $1 AND ($2 IS NULL OR (i.closed_at IS NULL) = $2) AND ($3 IS NULL OR i.sha256 = $3) ORDER BY i.id DESC LIMIT $4";
        let before = page.after.as_ref().map_or(Ok([0xff; 16]), Cursor::key)?;
        let rows = sqlx::query(SELECT)
            .bind(before.as_slice())
            .bind(filter.open)
            .bind(filter.file.map(|file| file.as_bytes().to_vec()))
            .bind(i64::from(page.limit) + 1)
            .fetch_all(&self.reader)
            .await?;
        let incidents = rows.iter().map(|row| incident(&Columns(row))).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(incidents, page.limit, |incident| Cursor::new(incident.id.as_bytes().as_slice())))
    }
}

/// What keeps one incident open for each kind, file and host.
fn open_key(kind: Kind, file: Option<Sha256>, host: Option<HostId>) -> Vec<u8> {
    let mut hasher = sha2::Sha256::new();
    hasher.update(word(&kind));
    hasher.update([0, u8::from(file.is_some()), u8::from(host.is_some())]);
    hasher.update(file.map_or([0; 32], |file| *file.as_bytes()));
    hasher.update(host.map_or([0; 16], |host| *host.as_bytes()));
    hasher.finalize().to_vec()
}

/// Opens an incident or counts it, in the caller's transaction.
pub(super) async fn raise(work: &mut Connection, new: &NewIncident, now: i64) -> Result<()> {
    const INSERT: &str = "INSERT INTO incident (id, kind, sha256, host_id, open_key, first_at, last_at, count, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $6, 1, $7) \
         ON CONFLICT (open_key) DO UPDATE SET last_at = excluded.last_at, count = incident.count + 1, detail = excluded.detail";
    sqlx::query(INSERT)
        .bind(mint(now).as_bytes().as_slice())
        .bind(word(&new.kind))
        .bind(new.file.map(|file| file.as_bytes().to_vec()))
        .bind(new.host.map(|host| host.as_bytes().to_vec()))
        .bind(open_key(new.kind, new.file, new.host))
        .bind(now)
        .bind(json(&new.detail))
        .execute(work)
        .await?;
    Ok(())
}

/// The open incident's details, to be added to.
pub(super) async fn open_detail(work: &mut Connection, kind: Kind, file: Option<Sha256>, host: Option<HostId>) -> Result<Option<Detail>> {
    const SELECT: &str = "SELECT detail FROM incident WHERE open_key = $1";
    let row = sqlx::query(SELECT).bind(open_key(kind, file, host)).fetch_optional(work).await?;
    row.map(|row| Columns(&row).json("detail")).transpose()
}

/// Replaces an open incident's details without counting it again.
pub(super) async fn amend(work: &mut Connection, kind: Kind, file: Option<Sha256>, host: Option<HostId>, detail: &Detail) -> Result<()> {
    const UPDATE: &str = "UPDATE incident SET detail = $2 WHERE open_key = $1";
    sqlx::query(UPDATE).bind(open_key(kind, file, host)).bind(json(detail)).execute(work).await?;
    Ok(())
}

/// Files were allowed after somebody ran them: their incidents in that profile, or in all, are over.
pub(super) async fn settle(work: &mut Connection, owner: ProfileId, files: &[Sha256], by: &str, now: i64) -> Result<()> {
    for chunk in files.chunks(ROWS_MAX) {
        let mut update = QueryBuilder::new("UPDATE incident SET open_key = NULL, closed_at = ");
        update.push_bind(now).push(", closed_by = ").push_bind(by.to_owned());
        update.push(" WHERE closed_at IS NULL AND kind IN ('new_process', 'process_modified') AND sha256 IN (");
        let mut list = update.separated(", ");
        for key in digests(chunk) {
            list.push_bind(key.to_vec());
        }
        update.push(")");
        if owner != GLOBAL {
            update.push(" AND host_id IN (SELECT id FROM host WHERE profile_id = ").push_bind(owner.as_bytes().to_vec()).push(")");
        }
        update.build().execute(&mut *work).await?;
    }
    Ok(())
}

/// A file was allowed on these hosts alone: what they ran is no longer an incident.
pub(super) async fn settle_on(work: &mut Connection, file: &Sha256, hosts: &[HostId], now: i64) -> Result<()> {
    const UPDATE: &str = "UPDATE incident SET open_key = NULL, closed_at = $2, closed_by = 'rule' WHERE open_key = $1";
    for host in hosts {
        for kind in [Kind::NewProcess, Kind::ProcessModified] {
            sqlx::query(UPDATE).bind(open_key(kind, Some(*file), Some(*host))).bind(now).execute(&mut *work).await?;
        }
    }
    Ok(())
}

fn incident(row: &Columns<'_>) -> Result<IncidentView> {
    let closed_at = row.maybe_time("closed_at")?;
    Ok(IncidentView {
        id: row.uuid("id")?,
        kind: row.word("kind")?,
        file: row.maybe_sha256("sha256")?,
        host_id: row.maybe_host("host_id")?,
        host: row.maybe_text("host")?,
        open: closed_at.is_none(),
        first_at: row.time("first_at")?,
        last_at: row.time("last_at")?,
        count: row.number("count")?,
        detail: row.json("detail")?,
        closed_at,
        closed_by: row.maybe_text("closed_by")?,
        comment: row.maybe_text("comment")?,
    })
}
