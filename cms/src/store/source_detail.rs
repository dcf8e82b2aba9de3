//! One package or publisher, host by host; and what an entry on it would bear on.

use doorward_policy::{Decision, Evidence, HostId, Listing, ProfileId, Sha256, VersionRange};
use doorward_proto::report::Source;
use serde::Serialize;

use super::column::Columns;
use super::evidence::key_of;
use super::page::CursorError;
use super::source::{Listings, SourceKind, named};
use super::source_entry::SourceChange;
use super::source_list::{self, SourceRow, push_hosts, with_named};
use super::{Connection, Cursor, Page, PageRequest, Result, Store};
use crate::profile::GLOBAL;

/// A source with the hosts that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceDetail {
    /// As lists show it.
    #[serde(flatten)]
    pub row: SourceRow,
    /// How far hosts are with reporting its files, since it was denied.
    pub asked: AskedHosts,
    /// By name.
    pub on: Page<SourceHost>,
}

/// Hosts that were asked for the files of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AskedHosts {
    /// All of them.
    pub hosts: u64,
    /// Those that reported all.
    pub done: u64,
    /// Those that could not.
    pub failed: u64,
}

/// A source on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceHost {
    /// The host.
    pub host_id: HostId,
    /// Its name.
    pub host: String,
    /// Its profile.
    pub profile: String,
    /// What the host says it is, with its version; the newest word.
    pub evidence: Option<Source>,
    /// What the lists say of it in this version.
    pub listing: Listing,
    /// Files it settled, which were never reported.
    pub files: u64,
    /// Those of them that were executed.
    pub executed: u64,
    /// Files at its paths that are not its own.
    pub modified: u64,
    /// Files of it that were reported.
    pub reported: u64,
    /// When an inventory named it first, microseconds since 1970, UTC.
    pub first_seen_at: Option<i64>,
    /// When one named it last.
    pub last_seen_at: Option<i64>,
    /// When the host was asked for its files.
    pub asked_at: Option<i64>,
    /// When it had reported them.
    pub answered_at: Option<i64>,
    /// Why it could not.
    pub error: Option<String>,
}

/// What a source, or several, are behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Extent {
    /// Packages and publishers.
    pub sources: u64,
    /// Hosts that have one of them.
    pub hosts: u64,
    /// Files they settled.
    pub files: u64,
    /// Those of them that were executed.
    pub executed: u64,
    /// Distinct files that were reported.
    pub reported: u64,
}

/// What an entry would bear on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourcePreview {
    /// The entry.
    #[serde(flatten)]
    pub change: SourceChange,
    /// What is there of it; `None` beyond the first [`super::SOURCES_FORESEEN_MAX`].
    pub extent: Option<Extent>,
}

impl Store {
    /// A source with a page of the hosts that have it; `None` when nobody named it.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn source(&self, key: &Sha256, profile: Option<ProfileId>, page: &PageRequest) -> Result<Option<SourceDetail>> {
        const SELECT: &str = "SELECT * FROM source WHERE key = $1";
        let mut view = self.reader.begin().await?;
        let Some(row) = sqlx::query(SELECT).bind(key.as_bytes().as_slice()).fetch_optional(&mut *view).await? else {
            return Ok(None);
        };
        let owner = profile.unwrap_or(GLOBAL);
        let source = (*key.as_bytes(), named(&Columns(&row))?);
        let Some(row) = source_list::rows_of(&mut view, vec![source], owner, None).await?.pop() else {
            return Ok(None);
        };
        let asked = asked(&mut view, key, owner).await?;
        let on = hosts(&mut view, key, owner, page).await?;
        Ok(Some(SourceDetail { row, asked, on }))
    }

    /// What an entry would bear on, were it published now: the hosts of its scope and what they have of the versions it names.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn source_extent(&self, owner: ProfileId, key: &Sha256, versions: Option<&VersionRange>) -> Result<Extent> {
        extent(&mut *self.reader.acquire().await?, owner, key.as_bytes(), versions).await
    }
}

async fn asked(view: &mut Connection, key: &Sha256, owner: ProfileId) -> Result<AskedHosts> {
    const SELECT: &str = "SELECT count(DISTINCT c.host_id) AS hosts, count(DISTINCT CASE WHEN c.done_at IS NOT NULL AND c.error IS NULL \
         THEN c.host_id END) AS done, count(DISTINCT CASE WHEN c.error IS NOT NULL THEN c.host_id END) AS failed FROM command c \
         JOIN host h ON h.id = c.host_id WHERE h.removed_at IS NULL AND c.source_key = $1 AND ($2 <> 0 OR h.profile_id = $3) \
         AND c.id = (SELECT max(l.id) FROM command l WHERE l.source_key = c.source_key AND l.host_id = c.host_id)";
    let query = sqlx::query(SELECT).bind(key.as_bytes().as_slice()).bind(owner == GLOBAL).bind(owner.as_bytes().as_slice());
    let row = query.fetch_one(view).await?;
    let row = Columns(&row);
    Ok(AskedHosts { hosts: row.number("hosts")?, done: row.number("done")?, failed: row.number("failed")? })
}

async fn hosts(view: &mut Connection, key: &Sha256, owner: ProfileId, page: &PageRequest) -> Result<Page<SourceHost>> {
    const SELECT: &str = "SELECT h.id AS host_id, h.name AS host, h.profile_id, p.name AS profile, i.evidence, i.files, i.executed, \
         i.modified, i.first_at, i.updated_at, (SELECT count(DISTINCT o.sha256) FROM named n JOIN observation o \
         ON o.evidence_key = n.key AND o.host_id = h.id) AS reported, (SELECT v.evidence FROM named n JOIN observation o \
         ON o.evidence_key = n.key AND o.host_id = h.id JOIN evidence v ON v.key = n.key ORDER BY o.last_observed_at DESC LIMIT 1) AS proof, \
         c.created_at AS asked_at, c.done_at, c.error FROM host h JOIN profile p ON p.id = h.profile_id \
         LEFT JOIN inventory i ON i.host_id = h.id AND i.gone = 0 AND i.key = ";
    let mut select = with_named(&[*key.as_bytes()], SELECT);
    select.push_bind(key.as_bytes().to_vec()).push(" LEFT JOIN command c ON c.id = (SELECT max(l.id) FROM command l WHERE l.source_key = ");
    select.push_bind(key.as_bytes().to_vec()).push(" AND l.host_id = h.id) WHERE (i.key IS NOT NULL OR EXISTS (SELECT 1 FROM named n ");
    select.push("JOIN observation o ON o.evidence_key = n.key AND o.host_id = h.id)) AND ");
    push_hosts(&mut select, owner, None);
    if let Some(cursor) = &page.after {
        let (name, id) = cursor.bytes().split_last_chunk::<16>().ok_or(CursorError)?;
        let name = String::from_utf8(name.to_vec()).map_err(|_| CursorError)?;
        select.push(" AND (h.name, h.id) > (").push_bind(name).push(", ").push_bind(id.to_vec()).push(")");
    }
    select.push(" ORDER BY h.name, h.id LIMIT ").push_bind(i64::from(page.limit) + 1);
    let listings = Listings::load(view, &[*key.as_bytes()].into()).await?;
    let rows = select.build().fetch_all(view).await?;
    let items = rows.iter().map(|row| source_host(&Columns(row), key, &listings)).collect::<Result<Vec<_>>>()?;
    Ok(Page::cut(items, page.limit, |host| Cursor::new([host.host.as_bytes(), host.host_id.as_bytes()].concat())))
}

fn source_host(row: &Columns<'_>, key: &Sha256, listings: &Listings) -> Result<SourceHost> {
    let evidence = match row.maybe_json("evidence")? {
        Some(source) => Some(source),
        None => row.maybe_json::<Evidence>("proof")?.and_then(|proof| of_key(&proof, key.as_bytes())),
    };
    let listing = match &evidence {
        Some(source) => listings.source(row.profile("profile_id")?, source),
        None => Listing::Unlisted,
    };
    Ok(SourceHost {
        host_id: row.host("host_id")?,
        host: row.text("host")?,
        profile: row.text("profile")?,
        evidence,
        listing,
        files: row.maybe_number("files")?.unwrap_or(0),
        executed: row.maybe_number("executed")?.unwrap_or(0),
        modified: row.maybe_number("modified")?.unwrap_or(0),
        reported: row.number("reported")?,
        first_seen_at: row.maybe_time("first_at")?,
        last_seen_at: row.maybe_time("updated_at")?,
        asked_at: row.maybe_time("asked_at")?,
        answered_at: row.maybe_time("done_at")?,
        error: row.maybe_text("error")?,
    })
}

/// The source of a proof that has this key.
fn of_key(proof: &Evidence, key: &[u8; 32]) -> Option<Source> {
    let package = proof.package.clone().map(Source::Package);
    let publisher = proof.publisher.clone().map(Source::Publisher);
    [package, publisher].into_iter().flatten().find(|source| key_of(source) == *key)
}

/// What the owner's hosts have of a source in these versions.
pub(super) async fn extent(view: &mut Connection, owner: ProfileId, key: &[u8; 32], versions: Option<&VersionRange>) -> Result<Extent> {
    const SETTLED: &str = "SELECT i.host_id, i.evidence, i.files, i.executed FROM inventory i JOIN host h ON h.id = i.host_id \
         WHERE i.gone = 0 AND h.removed_at IS NULL AND i.key = $1 AND ($2 <> 0 OR h.profile_id = $3)";
    const REPORTED: &str = "SELECT DISTINCT o.host_id, o.sha256, v.evidence FROM named n JOIN evidence v ON v.key = n.key \
         JOIN observation o ON o.evidence_key = n.key JOIN host h ON h.id = o.host_id WHERE ";
    let is_meant = |source: &Source| match (source, versions) {
        (Source::Package(package), Some(versions)) => versions.contains(package.manager, &package.version),
        (_, versions) => versions.is_none(),
    };
    let (mut hosts, mut reported) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    let mut extent = Extent::default();
    let query = sqlx::query(SETTLED).bind(key.as_slice()).bind(owner == GLOBAL).bind(owner.as_bytes().as_slice());
    for row in query.fetch_all(&mut *view).await? {
        let row = Columns(&row);
        if is_meant(&row.json("evidence")?) {
            hosts.insert(row.host("host_id")?);
            extent.files += row.number::<u64>("files")?;
            extent.executed += row.number::<u64>("executed")?;
        }
    }
    let mut select = with_named(&[*key], REPORTED);
    push_hosts(&mut select, owner, None);
    for row in select.build().fetch_all(view).await? {
        let row = Columns(&row);
        if of_key(&row.json("evidence")?, key).as_ref().is_some_and(is_meant) {
            hosts.insert(row.host("host_id")?);
            reported.insert(row.sha256("sha256")?);
        }
    }
    (extent.hosts, extent.reported) = (hosts.len() as u64, reported.len() as u64);
    extent.sources = u64::from(extent.hosts > 0);
    Ok(extent)
}

/// What the profile's hosts have of sources that no published entry names: what `allow_new_packages` and `allow_new_publishers` decide.
pub(super) async fn extent_of_new(view: &mut Connection, profile: ProfileId, kind: SourceKind) -> Result<Extent> {
    const SELECT: &str = "SELECT count(DISTINCT i.key) AS sources, count(DISTINCT i.host_id) AS hosts, coalesce(sum(i.files), 0) AS files, \
         coalesce(sum(i.executed), 0) AS executed FROM inventory i JOIN host h ON h.id = i.host_id JOIN source s ON s.key = i.key \
         WHERE i.gone = 0 AND h.removed_at IS NULL AND h.profile_id = $1 AND s.kind = $2 AND NOT EXISTS (SELECT 1 FROM source_entry e \
         WHERE e.key = i.key AND e.owner IN ($1, $3) AND coalesce(e.draft_decision, e.decision) <> $4)";
    let (profile, global) = (profile.as_bytes().as_slice(), GLOBAL.as_bytes().as_slice());
    let undecided = super::column::word(&Decision::Undecided);
    let query = sqlx::query(SELECT).bind(profile).bind(super::column::word(&kind)).bind(global).bind(undecided);
    let row = query.fetch_one(view).await?;
    let row = Columns(&row);
    Ok(Extent {
        sources: row.number("sources")?,
        hosts: row.number("hosts")?,
        files: row.number("files")?,
        executed: row.number("executed")?,
        reported: 0,
    })
}
