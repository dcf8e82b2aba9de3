//! How a profile's hosts met a file, summed up per distinct proof. Marking reads these rows and never the observations, so that it
//! costs the same whether one host holds a file or thousands do.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Evidence, HostId, ProfileId, Sha256};
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite};

use super::batch::{ROWS_MAX, any_of, digests, with_rows};
use super::column::Columns;
use super::evidence::EvidenceKey;
use super::observation::{PathKey, Seen, SeenBatch};
use super::{Connection, Result};
use crate::allowlist::Sources;

/// One row, with the proof itself.
#[derive(Debug, Clone)]
pub(super) struct SightingRow {
    pub(super) file: Sha256,
    pub(super) profile: ProfileId,
    pub(super) key: EvidenceKey,
    pub(super) evidence: Evidence,
    pub(super) package: Option<[u8; 32]>,
    pub(super) publisher: Option<[u8; 32]>,
    pub(super) user_writable: bool,
    pub(super) sources: Sources,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) executed_at: Option<i64>,
}

struct Sum {
    sources: Sources,
    first_at: i64,
    last_at: i64,
    executed_at: Option<i64>,
}

/// Adds a batch of a host of this profile.
pub(super) async fn upsert(work: &mut Connection, profile: ProfileId, batch: &SeenBatch<'_>) -> Result<()> {
    const MERGE: &str = " ON CONFLICT (sha256, profile_id, evidence_key, user_writable) DO UPDATE SET \
         sources = sighting.sources | excluded.sources, \
         first_observed_at = CASE WHEN excluded.first_observed_at < sighting.first_observed_at \
             THEN excluded.first_observed_at ELSE sighting.first_observed_at END, \
         last_observed_at = CASE WHEN excluded.last_observed_at > sighting.last_observed_at \
             THEN excluded.last_observed_at ELSE sighting.last_observed_at END, \
         last_executed_at = CASE WHEN sighting.last_executed_at IS NULL OR excluded.last_executed_at > sighting.last_executed_at \
             THEN excluded.last_executed_at ELSE sighting.last_executed_at END";
    let sums: Vec<_> = summed(batch).into_iter().collect();
    for chunk in sums.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO sighting (sha256, profile_id, evidence_key, user_writable, sources, first_observed_at, last_observed_at, \
             last_executed_at) ",
        );
        insert.push_values(chunk, |mut row, ((file, evidence, user_writable), sum)| {
            row.push_bind(file.as_bytes().to_vec()).push_bind(profile.as_bytes().to_vec()).push_bind(evidence.to_vec());
            row.push_bind(*user_writable).push_bind(i64::from(sum.sources.bits()));
            row.push_bind(sum.first_at).push_bind(sum.last_at).push_bind(sum.executed_at);
        });
        insert.push(MERGE).build().execute(&mut *work).await?;
    }
    Ok(())
}

fn summed(batch: &SeenBatch<'_>) -> BTreeMap<(Sha256, EvidenceKey, bool), Sum> {
    let mut sums: BTreeMap<_, Sum> = BTreeMap::new();
    for ((file, _), seen) in batch {
        let sum = Sum { sources: seen.sources, first_at: seen.first_at, last_at: seen.last_at, executed_at: seen.executed_at };
        sums.entry((*file, seen.evidence, seen.last.user_writable_folder))
            .and_modify(|total| {
                total.sources = total.sources.with(sum.sources);
                total.first_at = total.first_at.min(sum.first_at);
                total.last_at = total.last_at.max(sum.last_at);
                total.executed_at = total.executed_at.max(sum.executed_at);
            })
            .or_insert(sum);
    }
    sums
}

/// Files of the batch that the host met before at the same path with another proof; asked before the batch is written.
pub(super) async fn superseded(work: &mut Connection, host: HostId, batch: &SeenBatch<'_>) -> Result<BTreeSet<Sha256>> {
    const OTHERS: &str = "SELECT DISTINCT o.sha256 FROM new JOIN observation o ON o.sha256 = new.sha256 AND o.path_key = new.path_key \
         AND o.host_id = new.host_id WHERE o.evidence_key <> new.evidence_key OR o.user_writable <> new.user_writable";
    let rows: Vec<_> = batch.iter().collect();
    let mut files = BTreeSet::new();
    for chunk in rows.chunks(ROWS_MAX) {
        let bind = |mut row: Separated<'_, Sqlite, &'static str>, ((file, path), seen): &(&(Sha256, PathKey), &Seen<'_>)| {
            row.push_bind(file.as_bytes().to_vec()).push_bind(path.to_vec()).push_bind(host.as_bytes().to_vec());
            row.push_bind(seen.evidence.to_vec()).push_bind(seen.last.user_writable_folder);
        };
        let mut select = with_rows("sha256, path_key, host_id, evidence_key, user_writable", chunk, bind, OTHERS);
        for row in select.build().fetch_all(&mut *work).await? {
            files.insert(Columns(&row).sha256("sha256")?);
        }
    }
    Ok(files)
}

/// Sums these files' sightings in a profile up anew from the observations of the hosts that are still there, so that no proof outlives
/// the host or the observation that brought it.
pub(super) async fn sum_up(work: &mut Connection, profile: ProfileId, files: &[Sha256]) -> Result<()> {
    const SUMS: &str = "INSERT INTO sighting (sha256, profile_id, evidence_key, user_writable, sources, first_observed_at, \
         last_observed_at, last_executed_at) SELECT o.sha256, h.profile_id, o.evidence_key, o.user_writable, \
         max(o.sources & 1) | max(o.sources & 2) | max(o.sources & 4), min(o.first_observed_at), max(o.last_observed_at), \
         max(o.last_executed_at) FROM observation o JOIN host h ON h.id = o.host_id WHERE h.removed_at IS NULL AND o.sha256 IN";
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut delete = any_of("DELETE FROM sighting WHERE sha256 IN", &keys, "AND profile_id = ");
        delete.push_bind(profile.as_bytes().to_vec()).build().execute(&mut *work).await?;
        let mut insert = any_of(SUMS, &keys, "AND h.profile_id = ");
        insert.push_bind(profile.as_bytes().to_vec()).push(" GROUP BY o.sha256, h.profile_id, o.evidence_key, o.user_writable");
        insert.build().execute(&mut *work).await?;
    }
    Ok(())
}

/// Every sighting of these files, in all profiles.
pub(super) async fn of(work: &mut Connection, files: &[Sha256]) -> Result<Vec<SightingRow>> {
    let mut sightings = Vec::new();
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut select = any_of(
            "SELECT s.*, e.evidence, e.package_key, e.publisher_key FROM sighting s JOIN evidence e ON e.key = s.evidence_key \
             WHERE s.sha256 IN",
            &keys,
            "ORDER BY s.sha256, s.profile_id",
        );
        for row in select.build().fetch_all(&mut *work).await? {
            sightings.push(sighting(&Columns(&row))?);
        }
    }
    Ok(sightings)
}

/// Files met in a profile, in order, from after `after`.
pub(super) async fn files_of_profile(work: &mut Connection, profile: ProfileId, after: &Sha256, limit: u32) -> Result<Vec<Sha256>> {
    const SELECT: &str = "SELECT DISTINCT sha256 FROM sighting WHERE profile_id = $1 AND sha256 > $2 ORDER BY sha256 LIMIT $3";
    let query = sqlx::query(SELECT).bind(profile.as_bytes().as_slice()).bind(after.as_bytes().as_slice()).bind(limit);
    query.fetch_all(work).await?.iter().map(|row| Columns(row).sha256("sha256")).collect()
}

fn sighting(row: &Columns<'_>) -> Result<SightingRow> {
    let key = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| bytes.try_into().ok());
    Ok(SightingRow {
        file: row.sha256("sha256")?,
        profile: row.profile("profile_id")?,
        key: row.array("evidence_key")?,
        evidence: row.json("evidence")?,
        package: key(row.maybe_bytes("package_key")?),
        publisher: key(row.maybe_bytes("publisher_key")?),
        user_writable: row.flag("user_writable")?,
        sources: Sources::from_bits(row.number("sources")?),
        first_at: row.time("first_observed_at")?,
        last_at: row.time("last_observed_at")?,
        executed_at: row.maybe_time("last_executed_at")?,
    })
}
