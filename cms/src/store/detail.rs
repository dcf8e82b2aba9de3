//! Everything there is to know about one file, for a person who must decide on it.

use doorward_policy::{Blake3, Evidence, Explanation, HostId, Md5, PathBytes, ProfileId, ScanId, Sha1, Sha256, Status, StatusReason, Use};
use doorward_proto::report::{Layer, Process};
use serde::Serialize;

use super::column::Columns;
use super::lookup::{self, Priority};
use super::reputation::ReputationView;
use super::{Connection, DecisionView, ExecutionView, ListingRow, Result, Store, entry, execution, listing, mark, reputation};
use crate::allowlist::{Sources, rank};
use crate::incident::HOSTS_NAMED_MAX;

/// Observations shown, the newest.
const OBSERVATIONS_SHOWN_MAX: u32 = 200;

/// Executions shown, the newest.
const EXECUTIONS_SHOWN_MAX: u32 = 200;

/// Answers shown, the newest.
const ANSWERS_SHOWN_MAX: u32 = 50;

/// A file with all that is known of it.
#[derive(Debug, Clone, Serialize)]
pub struct FileDetail {
    /// The profile `row` and `judgement` speak of.
    pub profile: String,
    /// As in that profile's allowlist.
    #[serde(flatten)]
    pub row: ListingRow,
    /// Hosts of that profile that met it with a package or publisher that is not allowed, at most [`HOSTS_NAMED_MAX`]. On them alone it is
    /// a threat for that.
    pub denied_on: Vec<String>,
    /// All digests anybody told.
    pub digests: Digests,
    /// What TI says and said.
    pub reputation: Reputations,
    /// Where it was met, newest first.
    pub observations: Vec<ObservationView>,
    /// When and by whom it was run, newest first.
    pub executions: Vec<ExecutionView>,
    /// Its standing in every profile.
    pub entries: Vec<ProfileStanding>,
    /// Every decision on it, in all scopes.
    pub decisions: Vec<DecisionView>,
    /// Why it may run, or not, by the worst of the proofs the profile's hosts brought.
    pub judgement: Option<Explanation>,
    /// The question to TI.
    pub lookup: LookupView,
}

/// A file's digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Its name.
    pub sha256: Sha256,
    /// When somebody told.
    pub sha1: Option<Sha1>,
    /// When somebody told.
    pub md5: Option<Md5>,
    /// When somebody told.
    pub blake3: Option<Blake3>,
}

/// TI's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reputations {
    /// The newest answer; `None` when there is none.
    pub current: Option<CurrentReputation>,
    /// Newest first.
    pub history: Vec<ReputationView>,
}

/// The newest answer and how fresh it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurrentReputation {
    /// The answer.
    #[serde(flatten)]
    pub answer: ReputationView,
    /// When it was last confirmed, microseconds since 1970, UTC.
    pub confirmed_at: i64,
    /// When to ask again, microseconds since 1970, UTC.
    pub fresh_until: i64,
    /// It is past that.
    pub stale: bool,
}

/// A file at a path on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservationView {
    /// Where.
    pub host_id: HostId,
    /// That host's name.
    pub host: String,
    /// That host's profile.
    pub profile: String,
    /// Where on it.
    pub path: PathBytes,
    /// How it was met last.
    #[serde(flatten)]
    pub usage: Use,
    /// All the ways it was met.
    pub sources: Sources,
    /// The scan that found it last.
    pub scan: Option<ScanId>,
    /// Microseconds since 1970, UTC.
    pub first_observed_at: i64,
    /// Microseconds since 1970, UTC.
    pub last_observed_at: i64,
    /// Microseconds since 1970, UTC.
    pub last_executed_at: Option<i64>,
    /// How often.
    pub count: u64,
    /// What the host proved.
    pub evidence: Evidence,
    /// Who used it last.
    pub process: Option<Process>,
    /// Somebody other than root can write the folder.
    pub user_writable_folder: bool,
    /// Which layer of an overlay it lies in, as far as the host can tell.
    pub layer: Option<Layer>,
    /// `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `st_mtime`, microseconds since 1970, UTC.
    pub modified_at: i64,
    /// When the CMS heard of it last, microseconds since 1970, UTC.
    pub received_at: i64,
}

/// A file's standing in one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProfileStanding {
    /// The profile's name.
    pub profile: String,
    /// What people see there.
    pub status: Status,
    /// Why.
    pub reason: StatusReason,
    /// The ways it was met there.
    pub sources: Sources,
}

/// The question to TI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LookupView {
    /// `queued`, `in_flight`, `done` (answered and fresh), `given_up`, or `none` (never to be asked).
    pub state: &'static str,
    /// How urgent.
    pub priority: Option<Priority>,
    /// Failures in a row.
    pub attempts: u32,
    /// The last failure's code.
    pub last_error: Option<String>,
    /// When it is due, microseconds since 1970, UTC.
    pub due_at: Option<i64>,
}

impl Store {
    /// A file as one profile sees it; without a profile, as the one sees it where it stands worst. `None` when no host met it and nobody
    /// decided on it.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn file(&self, file: &Sha256, profile: Option<ProfileId>, now: i64) -> Result<Option<FileDetail>> {
        let mut view = self.reader.begin().await?;
        let entries = entry::of(&mut view, &[*file]).await?;
        let wanted = |owner: ProfileId| profile.is_none_or(|profile| profile == owner);
        let in_profiles = entries.iter().filter(|entry| entry.scope == doorward_policy::Scope::Profile);
        let worst = in_profiles.filter(|entry| wanted(entry.owner)).min_by_key(|entry| rank(entry.reason.status()));
        let Some(chosen) = worst.or_else(|| entries.iter().find(|entry| entry.owner == crate::profile::GLOBAL)) else {
            return Ok(None);
        };
        let row = listing::row(&mut view, chosen.owner, chosen).await?;
        Ok(Some(FileDetail {
            profile: name_of(&mut view, chosen.owner).await?,
            denied_on: mark::denied_on(&mut view, file, chosen.owner, HOSTS_NAMED_MAX).await?,
            row,
            digests: digests(&mut view, file).await?,
            reputation: reputations(&mut view, file, now).await?,
            observations: observations(&mut view, file).await?,
            executions: execution::of_file(&mut view, file, EXECUTIONS_SHOWN_MAX).await?,
            entries: standings(&mut view, file).await?,
            decisions: entries.iter().filter_map(entry::EntryRow::view).collect(),
            judgement: mark::explain_worst(&mut view, file, chosen.owner).await?,
            lookup: lookup_of(&mut view, file, now).await?,
        }))
    }
}

async fn name_of(view: &mut Connection, profile: ProfileId) -> Result<String> {
    let row = sqlx::query("SELECT name FROM profile WHERE id = $1").bind(profile.as_bytes().as_slice()).fetch_one(view).await?;
    Columns(&row).text("name")
}

async fn digests(view: &mut Connection, file: &Sha256) -> Result<Digests> {
    const SELECT: &str = "SELECT sha1, md5, blake3 FROM file WHERE sha256 = $1";
    let mut digests = Digests { sha256: *file, sha1: None, md5: None, blake3: None };
    if let Some(row) = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).fetch_optional(view).await? {
        let row = Columns(&row);
        (digests.sha1, digests.md5, digests.blake3) = (row.maybe_sha1("sha1")?, row.maybe_md5("md5")?, row.maybe_blake3("blake3")?);
    }
    Ok(digests)
}

async fn reputations(view: &mut Connection, file: &Sha256, now: i64) -> Result<Reputations> {
    const SELECT: &str = "SELECT fetched_at, fresh_until FROM file WHERE sha256 = $1 AND class IS NOT NULL";
    let history = reputation::history(view, file, ANSWERS_SHOWN_MAX).await?;
    let row = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).fetch_optional(view).await?;
    let current = match (history.first().cloned(), row) {
        (Some(answer), Some(row)) => {
            let fresh_until = Columns(&row).time("fresh_until")?;
            let confirmed_at = Columns(&row).time("fetched_at")?;
            Some(CurrentReputation { answer, confirmed_at, fresh_until, stale: fresh_until < now })
        }
        _ => None,
    };
    Ok(Reputations { current, history })
}

async fn observations(view: &mut Connection, file: &Sha256) -> Result<Vec<ObservationView>> {
    const SELECT: &str = "SELECT o.*, h.name AS host, p.name AS profile, e.evidence FROM observation o JOIN host h ON h.id = o.host_id \
         JOIN profile p ON p.id = h.profile_id JOIN evidence e ON e.key = o.evidence_key WHERE o.sha256 = $1 \
         ORDER BY o.last_observed_at DESC LIMIT $2";
    let rows = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).bind(OBSERVATIONS_SHOWN_MAX).fetch_all(view).await?;
    rows.iter().map(|row| observation(&Columns(row))).collect()
}

fn observation(row: &Columns<'_>) -> Result<ObservationView> {
    Ok(ObservationView {
        host_id: row.host("host_id")?,
        host: row.text("host")?,
        profile: row.text("profile")?,
        path: row.path("path")?,
        usage: row.json("usage")?,
        sources: Sources::from_bits(row.number("sources")?),
        scan: row.maybe_scan("scan_id")?,
        first_observed_at: row.time("first_observed_at")?,
        last_observed_at: row.time("last_observed_at")?,
        last_executed_at: row.maybe_time("last_executed_at")?,
        count: row.number("count")?,
        evidence: row.json("evidence")?,
        process: row.maybe_json("process")?,
        user_writable_folder: row.flag("user_writable")?,
        layer: row.maybe_json("layer")?,
        mode: row.number("mode")?,
        uid: row.number("uid")?,
        gid: row.number("gid")?,
        modified_at: row.time("modified_at")?,
        received_at: row.time("received_at")?,
    })
}

async fn standings(view: &mut Connection, file: &Sha256) -> Result<Vec<ProfileStanding>> {
    const SELECT: &str = "SELECT p.name, e.reason, e.sources FROM entry e JOIN profile p ON p.id = e.owner \
         WHERE e.sha256 = $1 AND e.scope = 'profile' ORDER BY p.name";
    let rows = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).fetch_all(view).await?;
    let standing = |row| {
        let row = Columns(row);
        let reason: StatusReason = row.word("reason")?;
        let sources = Sources::from_bits(row.number("sources")?);
        Ok(ProfileStanding { profile: row.text("name")?, status: reason.status(), reason, sources })
    };
    rows.iter().map(standing).collect()
}

async fn lookup_of(view: &mut Connection, file: &Sha256, now: i64) -> Result<LookupView> {
    const SELECT: &str = "SELECT l.*, f.class FROM lookup l JOIN file f ON f.sha256 = l.sha256 WHERE l.sha256 = $1";
    let Some(row) = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).fetch_optional(view).await? else {
        return Ok(LookupView { state: "none", priority: None, attempts: 0, last_error: None, due_at: None });
    };
    let row = Columns(&row);
    let due_at = row.time("due_at")?;
    let answered = row.maybe_text("class")?.is_some();
    let state = match row.text("state")?.as_str() {
        "in_flight" => "in_flight",
        "given_up" => "given_up",
        _ if answered && due_at > now => "done",
        _ => "queued",
    };
    Ok(LookupView {
        state,
        priority: Some(lookup::priority(row.number("priority")?)),
        attempts: row.number("attempts")?,
        last_error: row.maybe_text("last_error")?,
        due_at: Some(due_at),
    })
}
