//! A profile's allowlist in pages: threats first, then what needs a decision, then what is safe.

use doorward_policy::{Decision, FileKind, PackageEvidence, PathBytes, ProfileId, PublisherEvidence, Sha256, Status, StatusReason};
use serde::Serialize;

use super::column::Columns;
use super::entry::{self, EntryRow};
use super::page::CursorError;
use super::sighting;
use super::{Connection, Cursor, DecisionView, Page, PageRequest, Result, Store, file};
use crate::allowlist::{Sources, rank};
use crate::profile::GLOBAL;

/// Paths a row names; the rest are counted.
const PATHS_SHOWN_MAX: i64 = 10;

/// Which rows are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingFilter {
    /// Of this profile.
    pub profile: ProfileId,
    /// Only these.
    pub status: Option<Status>,
}

/// One file in one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListingRow {
    /// The file.
    pub sha256: Sha256,
    /// Where the profile's hosts met it, newest first.
    pub paths: Vec<PathBytes>,
    /// All such paths, each once.
    pub path_count: u64,
    /// What it is; `None` when no host met it yet.
    pub kind: Option<FileKind>,
    /// Bytes; `None` when no host met it yet.
    pub size: Option<u64>,
    /// The ways it was met.
    pub sources: Sources,
    /// The profile's hosts that hold it.
    pub hosts: u64,
    /// A package some host names for it.
    pub package: Option<PackageEvidence>,
    /// A publisher some host names for it.
    pub publisher: Option<PublisherEvidence>,
    /// What people see.
    pub status: Status,
    /// Why.
    pub reason: StatusReason,
    /// For threats TI scores.
    pub threat_score: Option<u8>,
    /// For threats TI names.
    pub threat_name: Option<String>,
    /// The decision that counts here.
    pub decision: Option<DecisionView>,
    /// Microseconds since 1970, UTC.
    pub first_observed_at: i64,
    /// Microseconds since 1970, UTC.
    pub last_observed_at: i64,
    /// Microseconds since 1970, UTC; `None` when it was never executed here.
    pub last_executed_at: Option<i64>,
}

impl Store {
    /// A page of a profile's allowlist.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn listing(&self, filter: &ListingFilter, page: &PageRequest) -> Result<Page<ListingRow>> {
        const SELECT: &str = "SELECT * FROM entry WHERE owner = $1 AND standing = $2 AND sha256 > $3 ORDER BY sha256 LIMIT $4";
        let (mut standing, mut after) = start(filter, page)?;
        let last = filter.status.map_or(2, rank);
        let wanted = page.limit as usize + 1;
        let mut view = self.reader.begin().await?;
        let mut entries: Vec<EntryRow> = Vec::new();
        while standing <= last && entries.len() < wanted {
            let rows = sqlx::query(SELECT)
                .bind(filter.profile.as_bytes().as_slice())
                .bind(i64::from(standing))
                .bind(after.as_slice())
                .bind(i64::try_from(wanted - entries.len()).expect("pages are small"))
                .fetch_all(&mut *view)
                .await?;
            for row in &rows {
                entries.push(entry::entry(&Columns(row))?);
            }
            (standing, after) = (standing + 1, [0; 32]);
        }
        let page =
            Page::cut(entries, page.limit, |entry| Cursor::new([[rank(entry.reason.status())].as_slice(), entry.file.as_bytes()].concat()));
        let mut items = Vec::with_capacity(page.items.len());
        for entry in &page.items {
            items.push(row(&mut view, filter.profile, entry).await?);
        }
        Ok(Page { items, next: page.next })
    }
}

fn start(filter: &ListingFilter, page: &PageRequest) -> Result<(u8, [u8; 32])> {
    let first = filter.status.map_or(0, rank);
    let Some(cursor) = &page.after else {
        return Ok((first, [0; 32]));
    };
    match cursor.bytes().split_first() {
        Some((standing, file)) if filter.status.is_none_or(|status| rank(status) == *standing) => {
            Ok((*standing, file.try_into().map_err(|_| CursorError)?))
        }
        _ => Err(CursorError.into()),
    }
}

/// An entry with everything a row shows of it.
pub(super) async fn row(view: &mut Connection, profile: ProfileId, entry: &EntryRow) -> Result<ListingRow> {
    const FILE: &str = "SELECT kind, size, class, trust_factor, threat_level, threat_name, no_answer FROM file WHERE sha256 = $1";
    const PLACES: &str = "SELECT count(DISTINCT o.path_key) AS paths, count(DISTINCT o.host_id) AS hosts FROM observation o \
         JOIN host h ON h.id = o.host_id WHERE o.sha256 = $1 AND h.profile_id = $2 AND h.removed_at IS NULL";
    const PATHS: &str = "SELECT o.path, max(o.last_observed_at) AS newest FROM observation o JOIN host h ON h.id = o.host_id \
         WHERE o.sha256 = $1 AND h.profile_id = $2 AND h.removed_at IS NULL GROUP BY o.path ORDER BY newest DESC, o.path LIMIT $3";
    let (digest, id) = (entry.file.as_bytes().as_slice(), profile.as_bytes().as_slice());
    let known = sqlx::query(FILE).bind(digest).fetch_optional(&mut *view).await?;
    let known = known.as_ref().map(Columns);
    let places = sqlx::query(PLACES).bind(digest).bind(id).fetch_one(&mut *view).await?;
    let places = Columns(&places);
    let paths = sqlx::query(PATHS).bind(digest).bind(id).bind(PATHS_SHOWN_MAX).fetch_all(&mut *view).await?;
    let sightings = sighting::of(view, &[entry.file]).await?;
    let here = || sightings.iter().filter(|sighting| sighting.profile == profile);
    let answer = known.as_ref().map(file::answer).transpose()?;
    let threat = answer.as_ref().and_then(|answer| answer.reputation()).filter(|reputation| reputation.is_threat());
    Ok(ListingRow {
        sha256: entry.file,
        paths: paths.iter().map(|row| Columns(row).path("path")).collect::<Result<_>>()?,
        path_count: places.number("paths")?,
        kind: known.as_ref().map(|row| row.word("kind")).transpose()?,
        size: known.as_ref().map(|row| row.number("size")).transpose()?,
        sources: entry.sources,
        hosts: places.number("hosts")?,
        package: here().find_map(|sighting| sighting.evidence.package.clone()),
        publisher: here().find_map(|sighting| sighting.evidence.publisher.clone()),
        status: entry.reason.status(),
        reason: entry.reason,
        threat_score: entry.threat_score,
        threat_name: threat.and_then(|reputation| reputation.threat_name.clone()),
        decision: decision(&entry::of(view, &[entry.file]).await?, profile),
        first_observed_at: entry.first_at,
        last_observed_at: entry.last_at,
        last_executed_at: entry.executed_at,
    })
}

/// The decision that counts in a profile: a person's deny, a person's allow, a rule's allow; the widest of equals.
fn decision(entries: &[EntryRow], profile: ProfileId) -> Option<DecisionView> {
    let weight = |entry: &&EntryRow| (entry.decision == Decision::Denied, entry.author, entry.scope);
    entries
        .iter()
        .filter(|entry| (entry.owner == profile || entry.owner == GLOBAL) && entry.decision != Decision::Undecided)
        .max_by_key(weight)
        .and_then(EntryRow::view)
}
