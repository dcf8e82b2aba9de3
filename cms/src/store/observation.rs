//! Observations: (host, file, path), how it was met and how often. One row each, however often a host says so.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{Evidence, HostId, PathBytes, ProfileId, ScanId, Sha256, Use};
use doorward_proto::report::Observation;
use sha2::Digest;
use sqlx::QueryBuilder;

use super::batch::{ROWS_MAX, any_of, digests};
use super::column::{Columns, claimed, json};
use super::evidence::EvidenceKey;
use super::{Connection, Result, Store, profile};
use crate::allowlist::{Claim, Claims, Sources};
use crate::profile::GLOBAL;

/// Claims of one host that are read.
const CLAIMS_OF_HOST_MAX: i64 = 16;

/// First 16 bytes of the SHA-256 of a path.
pub(super) type PathKey = [u8; 16];

/// Everything one batch says about a file at a path.
#[derive(Debug, Clone)]
pub(super) struct Seen<'a> {
    pub(super) last: &'a Observation,
    pub(super) sources: Sources,
    pub(super) scan: Option<ScanId>,
    pub(super) evidence: EvidenceKey,
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) executed_at: Option<i64>,
    pub(super) count: i64,
    pub(super) process: Option<String>,
}

/// By file and path, so that a statement touches no row twice.
pub(super) type SeenBatch<'a> = BTreeMap<(Sha256, PathKey), Seen<'a>>;

pub(super) fn path_key(path: &PathBytes) -> PathKey {
    let digest = sha2::Sha256::digest(path.as_bytes());
    *digest.first_chunk().expect("a SHA-256 is longer than 16 bytes")
}

impl<'a> Seen<'a> {
    /// One report's word; `reference` says whether its scan is a reference scan.
    pub(super) fn new(observation: &'a Observation, reference: bool, evidence: EvidenceKey) -> Self {
        let executed = !matches!(observation.usage, Use::Scan);
        let sources = match (executed, reference) {
            (true, _) => Sources::EXEC,
            (false, true) => Sources::REFERENCE_SCAN,
            (false, false) => Sources::SCAN,
        };
        Self {
            last: observation,
            sources,
            scan: observation.scan,
            evidence,
            first_at: observation.first_observed_at,
            last_at: observation.last_observed_at,
            executed_at: executed.then_some(observation.last_observed_at),
            count: claimed(observation.count),
            process: observation.process.as_ref().map(json),
        }
    }

    /// Adds a later report about the same file and path.
    pub(super) fn add(&mut self, later: Self) {
        self.sources = self.sources.with(later.sources);
        self.first_at = self.first_at.min(later.first_at);
        self.last_at = self.last_at.max(later.last_at);
        self.executed_at = self.executed_at.max(later.executed_at);
        self.count = self.count.saturating_add(later.count);
        self.scan = later.scan.or(self.scan);
        self.process = later.process.or(self.process.take());
        self.evidence = later.evidence;
        self.last = later.last;
    }
}

/// Adds a batch to what is known.
pub(super) async fn upsert(work: &mut Connection, host: HostId, batch: &SeenBatch<'_>, now: i64) -> Result<()> {
    const MERGE: &str = " ON CONFLICT (sha256, host_id, path_key) DO UPDATE SET usage = excluded.usage, \
         sources = observation.sources | excluded.sources, scan_id = coalesce(excluded.scan_id, observation.scan_id), \
         evidence_key = excluded.evidence_key, user_writable = excluded.user_writable, layer = excluded.layer, mode = excluded.mode, uid = excluded.uid, \
         gid = excluded.gid, modified_at = excluded.modified_at, changed_at = excluded.changed_at, \
         first_observed_at = CASE WHEN excluded.first_observed_at < observation.first_observed_at \
             THEN excluded.first_observed_at ELSE observation.first_observed_at END, \
         last_observed_at = CASE WHEN excluded.last_observed_at > observation.last_observed_at \
             THEN excluded.last_observed_at ELSE observation.last_observed_at END, \
         last_executed_at = CASE WHEN observation.last_executed_at IS NULL OR excluded.last_executed_at > observation.last_executed_at \
             THEN excluded.last_executed_at ELSE observation.last_executed_at END, \
         count = observation.count + excluded.count, process = coalesce(excluded.process, observation.process), \
         received_at = excluded.received_at";
    let rows: Vec<_> = batch.iter().collect();
    for chunk in rows.chunks(ROWS_MAX) {
        let mut insert = QueryBuilder::new(
            "INSERT INTO observation (sha256, host_id, path_key, path, usage, sources, scan_id, evidence_key, user_writable, layer, mode, \
             uid, gid, modified_at, changed_at, first_observed_at, last_observed_at, last_executed_at, count, process, received_at) ",
        );
        insert.push_values(chunk, |mut row, ((file, path_key), seen)| {
            let facts = &seen.last.file;
            row.push_bind(file.as_bytes().to_vec()).push_bind(host.as_bytes().to_vec()).push_bind(path_key.to_vec());
            row.push_bind(seen.last.path.as_bytes().to_vec()).push_bind(json(&seen.last.usage));
            row.push_bind(i64::from(seen.sources.bits())).push_bind(seen.scan.map(|scan| scan.as_bytes().to_vec()));
            row.push_bind(seen.evidence.to_vec()).push_bind(seen.last.user_writable_folder).push_bind(seen.last.layer.as_ref().map(json));
            row.push_bind(i64::from(facts.mode)).push_bind(i64::from(facts.uid)).push_bind(i64::from(facts.gid));
            row.push_bind(facts.modified_at).push_bind(facts.changed_at).push_bind(seen.first_at).push_bind(seen.last_at);
            row.push_bind(seen.executed_at).push_bind(seen.count).push_bind(seen.process.clone()).push_bind(now);
        });
        insert.push(MERGE).build().execute(&mut *work).await?;
    }
    Ok(())
}

/// What the same path of the host held last, when that was another file.
pub(super) async fn previous(work: &mut Connection, host: HostId, path: PathKey, file: &Sha256) -> Result<Option<Sha256>> {
    const SELECT: &str = "SELECT sha256 FROM observation WHERE host_id = $1 AND path_key = $2 AND sha256 <> $3 \
         ORDER BY last_observed_at DESC LIMIT 1";
    let query = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).bind(path.as_slice()).bind(file.as_bytes().as_slice());
    query.fetch_optional(work).await?.map(|row| Columns(&row).sha256("sha256")).transpose()
}

/// Every host that met one of these files and was not removed.
pub(super) async fn hosts_of(work: &mut Connection, files: &[Sha256]) -> Result<BTreeSet<HostId>> {
    let mut hosts = BTreeSet::new();
    for chunk in files.chunks(ROWS_MAX) {
        let keys: Vec<_> = digests(chunk).collect();
        let mut select = any_of(
            "SELECT DISTINCT o.host_id FROM observation o JOIN host h ON h.id = o.host_id WHERE h.removed_at IS NULL AND o.sha256 IN",
            &keys,
            "",
        );
        for row in select.build().fetch_all(&mut *work).await? {
            hosts.insert(Columns(&row).host("host_id")?);
        }
    }
    Ok(hosts)
}

impl Store {
    /// Where the hosts a decision of `owner` reaches met a file, and which package claimed it there; the newest of each host, and of
    /// those the newest thousand.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn claims(&self, file: &Sha256, owner: ProfileId) -> Result<Claims> {
        // One host's many paths must not push the others' out.
        const SELECT: &str = "SELECT host_id, name, profile_id, path, evidence FROM (SELECT o.host_id, h.name, h.profile_id, o.path, \
             e.evidence, o.last_observed_at, row_number() OVER (PARTITION BY o.host_id ORDER BY o.last_observed_at DESC, o.path) AS nth \
             FROM observation o JOIN host h ON h.id = o.host_id JOIN evidence e ON e.key = o.evidence_key \
             WHERE o.sha256 = $1 AND h.removed_at IS NULL AND e.package_key IS NOT NULL AND ($2 <> 0 OR h.profile_id = $3)) AS claim \
             WHERE nth <= $4 ORDER BY last_observed_at DESC LIMIT 1000";
        const HOSTS: &str = "SELECT count(*) AS hosts FROM host WHERE removed_at IS NULL AND ($1 <> 0 OR profile_id = $2)";
        let (is_global, id) = (owner == GLOBAL, owner.as_bytes().as_slice());
        let mut view = self.reader.begin().await?;
        let hosts = sqlx::query(HOSTS).bind(is_global).bind(id).fetch_one(&mut *view).await?;
        let query = sqlx::query(SELECT).bind(file.as_bytes().as_slice()).bind(is_global).bind(id).bind(CLAIMS_OF_HOST_MAX);
        let rows = query.fetch_all(&mut *view).await?;
        let mut references = BTreeMap::new();
        let mut claims = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Columns(row);
            let (host_id, in_profile) = (row.host("host_id")?, row.profile("profile_id")?);
            let reference = match references.get(&in_profile) {
                Some(reference) => *reference,
                None => *references.entry(in_profile).or_insert(profile::published(&mut view, in_profile).await?.reference_host),
            };
            claims.push(Claim {
                host_id,
                is_reference: reference == Some(host_id),
                host: row.text("name")?,
                path: row.path("path")?,
                package: row.json::<Evidence>("evidence")?.package,
            });
        }
        Ok(Claims { hosts: Columns(&hosts).number("hosts")?, claims })
    }
}
