//! Packages and publishers as people look at them: on which hosts they were seen, how, how often, and what lists say of them. From the
//! inventories of what hosts settled and from what they reported; see [`Seen`].

use std::collections::BTreeMap;

use doorward_policy::{Decision, HostId, PackageManager, ProfileId, Sha256, VersionRange};
use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Sqlite};

use super::batch::{ROWS_MAX, any_of};
use super::column::{Columns, word};
use super::page::CursorError;
use super::source::{NamedSource, SourceKind, named, versions};
use super::{Connection, Cursor, Page, PageRequest, Result, Store};
use crate::allowlist::Sources;
use crate::profile::GLOBAL;

/// How lists that apply stand towards a source, whatever its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// A published entry names it, and none denies it.
    Allowed,
    /// A published entry denies it, or some versions of it.
    Denied,
    /// No published entry names it.
    New,
}

/// Which sources are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceFilter {
    /// As this profile sees them; `None` for the global scope and the hosts of all profiles.
    pub profile: Option<ProfileId>,
    /// Only these.
    pub kind: Option<SourceKind>,
    /// Only packages of this manager.
    pub manager: Option<PackageManager>,
    /// Only these.
    pub state: Option<SourceState>,
    /// Only those seen on this host.
    pub host: Option<HostId>,
    /// Only those with this text in their names, in whichever case.
    pub text: Option<String>,
}

/// Where and how a source was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Seen {
    /// Hosts it was seen on.
    pub hosts: u64,
    /// Files it settled on them, which were never reported.
    pub files: u64,
    /// Those of them that were executed.
    pub executed: u64,
    /// Files at its paths that are not its own.
    pub modified: u64,
    /// Distinct files of it that were reported.
    pub reported: u64,
    /// The ways it was met.
    pub sources: Sources,
    /// Microseconds since 1970, UTC; `None` when no host has it any more.
    pub first_seen_at: Option<i64>,
    /// Microseconds since 1970, UTC.
    pub last_seen_at: Option<i64>,
}

/// An entry on a source in one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceEntryView {
    /// It stands above all profiles.
    pub global: bool,
    /// Only these versions; `None` for all of them.
    pub versions: Option<VersionRange>,
    /// Published.
    pub decision: Decision,
    /// To be published; `None` when nothing waits.
    pub draft: Option<Decision>,
    /// Who decided last, drafts included.
    pub by: Option<String>,
    /// When, microseconds since 1970, UTC.
    pub at: Option<i64>,
    /// Why.
    pub comment: Option<String>,
}

/// A source as a profile sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceRow {
    /// SHA-256 that names it in lists.
    pub key: Sha256,
    /// What it is.
    #[serde(flatten)]
    pub source: NamedSource,
    /// What the lists that apply say.
    pub state: SourceState,
    /// Entries on it that apply, in force or drafted: the global scope's first.
    pub entries: Vec<SourceEntryView>,
    /// Where it was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

impl Store {
    /// Sources that were seen or listed where the filter looks, by name.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn sources(&self, filter: &SourceFilter, page: &PageRequest) -> Result<Page<SourceRow>> {
        let mut view = self.reader.begin().await?;
        let mut select = QueryBuilder::new("SELECT s.* FROM source s WHERE ");
        push_wanted(&mut select, filter);
        if let Some(cursor) = &page.after {
            let (name, key) = place(cursor)?;
            select.push(" AND (s.name, s.key) > (").push_bind(name).push(", ").push_bind(key).push(")");
        }
        select.push(" ORDER BY s.name, s.key LIMIT ").push_bind(i64::from(page.limit) + 1);
        let rows = select.build().fetch_all(&mut *view).await?;
        let sources = rows.iter().map(|row| Ok((Columns(row).array("key")?, named(&Columns(row))?))).collect::<Result<Vec<_>>>()?;
        let page = Page::cut(sources, page.limit, |(key, source)| Cursor::new([source.name().as_bytes(), key].concat()));
        let items = rows_of(&mut view, page.items, filter.profile.unwrap_or(GLOBAL), filter.host).await?;
        Ok(Page { items, next: page.next })
    }
}

/// The rows of these sources, in their order, as the owner's hosts, or this one of them, have them.
pub(super) async fn rows_of(
    view: &mut Connection,
    sources: Vec<([u8; 32], NamedSource)>,
    owner: ProfileId,
    host: Option<HostId>,
) -> Result<Vec<SourceRow>> {
    let mut rows = Vec::with_capacity(sources.len());
    for chunk in sources.chunks(ROWS_MAX) {
        let keys: Vec<_> = chunk.iter().map(|(key, _)| *key).collect();
        let (mut seen, mut entries) = (seen(view, &keys, owner, host).await?, entries(view, &keys, owner).await?);
        for (key, source) in chunk {
            let entries = entries.remove(key).unwrap_or_default();
            rows.push(SourceRow {
                key: Sha256::new(*key),
                source: source.clone(),
                state: state(&entries),
                entries,
                seen: seen.remove(key).unwrap_or_default(),
            });
        }
    }
    Ok(rows)
}

fn state(entries: &[SourceEntryView]) -> SourceState {
    let says = |decision| entries.iter().any(|entry| entry.decision == decision);
    match (says(Decision::Denied), says(Decision::Allowed)) {
        (true, _) => SourceState::Denied,
        (false, true) => SourceState::Allowed,
        (false, false) => SourceState::New,
    }
}

/// Where a page starts: after this name and key.
fn place(cursor: &Cursor) -> Result<(String, Vec<u8>)> {
    let (name, key) = cursor.bytes().split_last_chunk::<32>().ok_or(CursorError)?;
    Ok((String::from_utf8(name.to_vec()).map_err(|_| CursorError)?, key.to_vec()))
}

fn push_wanted(select: &mut QueryBuilder<Sqlite>, filter: &SourceFilter) {
    let owner = filter.profile.unwrap_or(GLOBAL);
    // Seen there, or named by an entry there.
    select.push("(EXISTS (SELECT 1 FROM inventory i JOIN host h ON h.id = i.host_id WHERE i.key = s.key AND i.gone = 0 AND ");
    push_hosts(select, owner, filter.host);
    select.push(
        ") OR EXISTS (SELECT 1 FROM evidence v JOIN observation o ON o.evidence_key = v.key JOIN host h ON h.id = o.host_id \
         WHERE (v.package_key = s.key OR v.publisher_key = s.key) AND ",
    );
    push_hosts(select, owner, filter.host);
    select.push(")");
    if filter.host.is_none() {
        select.push(" OR EXISTS (SELECT 1 FROM source_entry e WHERE e.key = s.key AND ");
        push_owners(select, owner);
        select.push(" AND (e.decision <> 'undecided' OR e.draft_decision IS NOT NULL))");
    }
    select.push(")");
    if let Some(kind) = &filter.kind {
        select.push(" AND s.kind = ").push_bind(word(kind));
    }
    if let Some(manager) = filter.manager {
        select.push(" AND s.manager = ").push_bind(manager.word());
    }
    if let Some(text) = &filter.text {
        select.push(" AND lower(s.name) LIKE ").push_bind(pattern(text)).push(" ESCAPE '\\'");
    }
    let is_said: &[(bool, Decision)] = match filter.state {
        None => &[],
        Some(SourceState::Denied) => &[(true, Decision::Denied)],
        Some(SourceState::Allowed) => &[(false, Decision::Denied), (true, Decision::Allowed)],
        Some(SourceState::New) => &[(false, Decision::Denied), (false, Decision::Allowed)],
    };
    for (is_said, decision) in is_said {
        select.push(if *is_said { " AND EXISTS" } else { " AND NOT EXISTS" });
        select.push(" (SELECT 1 FROM source_entry e WHERE e.key = s.key AND e.decision = ").push_bind(word(decision)).push(" AND ");
        push_owners(select, owner);
        select.push(")");
    }
}

/// `h` is a host of the owner that may connect, and this one if one is named.
pub(super) fn push_hosts(select: &mut QueryBuilder<Sqlite>, owner: ProfileId, host: Option<HostId>) {
    select.push("h.removed_at IS NULL");
    if owner != GLOBAL {
        select.push(" AND h.profile_id = ").push_bind(owner.as_bytes().to_vec());
    }
    if let Some(host) = host {
        select.push(" AND h.id = ").push_bind(host.as_bytes().to_vec());
    }
}

/// `e` is an entry of the owner or of the global scope.
fn push_owners(select: &mut QueryBuilder<Sqlite>, owner: ProfileId) {
    select.push("e.owner IN (").push_bind(owner.as_bytes().to_vec()).push(", ").push_bind(GLOBAL.as_bytes().to_vec()).push(")");
}

/// `%text%` in lower case, with nothing in it that stands for something else.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character.to_ascii_lowercase());
    }
    pattern + "%"
}

/// `WITH named (source, key)`: the proofs that name each of these sources.
pub(super) fn with_named(keys: &[[u8; 32]], rest: &'static str) -> QueryBuilder<Sqlite> {
    let mut query = any_of("WITH named (source, key) AS (SELECT package_key, key FROM evidence WHERE package_key IN", keys, "");
    query.push(" UNION ALL SELECT publisher_key, key FROM evidence WHERE publisher_key IN (");
    let mut list = query.separated(", ");
    for key in keys {
        list.push_bind(key.to_vec());
    }
    query.push(")) ").push(rest);
    query
}

async fn seen(view: &mut Connection, keys: &[[u8; 32]], owner: ProfileId, host: Option<HostId>) -> Result<BTreeMap<[u8; 32], Seen>> {
    const SETTLED: &str = "SELECT i.key AS source, sum(i.files) AS files, sum(i.executed) AS executed, sum(i.modified) AS modified, \
         max(i.scanned) AS scanned, min(i.first_at) AS first_at, max(i.updated_at) AS last_at FROM inventory i \
         JOIN host h ON h.id = i.host_id WHERE i.key IN";
    const REPORTED: &str = "SELECT n.source, count(DISTINCT o.sha256) AS files, max(o.sources & 1) | max(o.sources & 2) | \
         max(o.sources & 4) AS sources, min(o.first_observed_at) AS first_at, max(o.last_observed_at) AS last_at FROM named n \
         JOIN observation o ON o.evidence_key = n.key JOIN host h ON h.id = o.host_id WHERE ";
    const HOSTS: &str = "SELECT source, count(DISTINCT host_id) AS hosts FROM (SELECT n.source, o.host_id FROM named n \
         JOIN observation o ON o.evidence_key = n.key UNION SELECT i.key, i.host_id FROM inventory i WHERE i.gone = 0 AND i.key IN (";
    let mut seen: BTreeMap<[u8; 32], Seen> = BTreeMap::new();
    let mut settled = any_of(SETTLED, keys, "AND i.gone = 0 AND ");
    push_hosts(&mut settled, owner, host);
    for row in settled.push(" GROUP BY i.key").build().fetch_all(&mut *view).await? {
        let row = Columns(&row);
        let of = seen.entry(row.array("source")?).or_default();
        (of.files, of.executed, of.modified) = (row.number("files")?, row.number("executed")?, row.number("modified")?);
        let ways = [(row.flag("scanned")?, Sources::SCAN), (of.executed > 0, Sources::EXEC)];
        of.sources = ways.into_iter().filter(|(is_so, _)| *is_so).fold(Sources::default(), |ways, (_, way)| ways.with(way));
        of.add_times(row.time("first_at")?, row.time("last_at")?);
    }
    let mut reported = with_named(keys, REPORTED);
    push_hosts(&mut reported, owner, host);
    for row in reported.push(" GROUP BY n.source").build().fetch_all(&mut *view).await? {
        let row = Columns(&row);
        let of = seen.entry(row.array("source")?).or_default();
        of.reported = row.number("files")?;
        of.sources = of.sources.with(Sources::from_bits(row.number("sources")?));
        of.add_times(row.time("first_at")?, row.time("last_at")?);
    }
    let mut hosts = with_named(keys, HOSTS);
    let mut list = hosts.separated(", ");
    for key in keys {
        list.push_bind(key.to_vec());
    }
    hosts.push(")) JOIN host h ON h.id = host_id WHERE ");
    push_hosts(&mut hosts, owner, host);
    for row in hosts.push(" GROUP BY source").build().fetch_all(view).await? {
        seen.entry(Columns(&row).array("source")?).or_default().hosts = Columns(&row).number("hosts")?;
    }
    Ok(seen)
}

impl Seen {
    fn add_times(&mut self, first_at: i64, last_at: i64) {
        self.first_seen_at = Some(self.first_seen_at.map_or(first_at, |known| known.min(first_at)));
        self.last_seen_at = self.last_seen_at.max(Some(last_at));
    }
}

async fn entries(view: &mut Connection, keys: &[[u8; 32]], owner: ProfileId) -> Result<BTreeMap<[u8; 32], Vec<SourceEntryView>>> {
    let mut select = any_of("SELECT e.* FROM source_entry e WHERE e.key IN", keys, "AND ");
    push_owners(&mut select, owner);
    select.push(" AND (e.decision <> 'undecided' OR e.draft_decision IS NOT NULL) ORDER BY e.owner, e.versions");
    let mut entries: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in select.build().fetch_all(view).await? {
        let row = Columns(&row);
        let is_draft = row.maybe_text("draft_decision")?.is_some();
        let (by, at, comment) = match is_draft {
            true => ("draft_actor", "draft_at", "draft_comment"),
            false => ("actor", "decided_at", "comment"),
        };
        entries.entry(row.array("key")?).or_default().push(SourceEntryView {
            global: row.profile("owner")? == GLOBAL,
            versions: versions(&row)?,
            decision: row.word("decision")?,
            draft: row.maybe_word("draft_decision")?,
            by: row.maybe_text(by)?,
            at: row.maybe_time(at)?,
            comment: row.maybe_text(comment)?,
        });
    }
    Ok(entries)
}
