//! One batch of a host's reports, in one commit with the watermark that says so: rows, marking, questions, incidents. A report that was
//! taken before is passed over, so a host may send anything again.

use std::collections::{BTreeMap, BTreeSet};

use doorward_policy::{HostId, ProfileId, ScanId, Sha256, Use};
use doorward_proto::report::{
    ClosureNews, Coverage, Fate, FileFacts, Health, Inventory, Observation, Report, ReportBody, Turned, Unjudged,
};

use super::column::{Columns, json, signed};
use super::evidence::EvidenceBatch;
use super::execution::{self, Executed};
use super::observation::{self, Seen, SeenBatch, path_key};
use super::{Connection, Result, Store, alarm, file, inventory, lookup, mark, record, scan, sighting, turn};
use crate::signals::Effect;

/// Store epochs of one host that are remembered, the newest. A host has one, and another after each loss of its store; one that makes up
/// epochs only makes its own old reports look new.
const EPOCHS_KEPT_MAX: i64 = 8;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ingested {
    /// Highest sequence of the store epoch that is on disk.
    pub watermark: u64,
    /// Files the new reports speak of, each once.
    pub files: Vec<Sha256>,
    /// Those of them that were executed.
    pub executed: Vec<Sha256>,
}

/// A batch, sorted by what it speaks of.
#[derive(Default)]
struct Sorted<'a> {
    sequence: Option<u64>,
    observations: Vec<&'a Observation>,
    executed: Vec<Executed<'a>>,
    inventories: Vec<&'a Inventory>,
    turned: Vec<&'a Turned>,
    coverage: Option<&'a Coverage>,
    health: Option<&'a Health>,
    unjudged: Vec<&'a Unjudged>,
    closure: Vec<&'a ClosureNews>,
}

impl<'a> Sorted<'a> {
    /// Takes the reports after the watermark.
    fn new(reports: &'a [Report], watermark: u64) -> Self {
        let mut sorted = Self::default();
        for report in reports.iter().filter(|report| report.sequence > watermark) {
            sorted.sequence = sorted.sequence.max(Some(report.sequence));
            match &report.body {
                ReportBody::Observation(observation) => sorted.observe(observation, None),
                ReportBody::Denial(denial) => sorted.observe(&denial.observation, Some(denial.fate)),
                ReportBody::Coverage(coverage) => sorted.coverage = Some(coverage),
                ReportBody::Inventory(inventory) => sorted.inventories.push(inventory),
                ReportBody::Turned(turned) => sorted.turned.push(turned),
                ReportBody::Health(health) => sorted.health = Some(health),
                ReportBody::Unjudged(unjudged) => sorted.unjudged.push(unjudged),
                ReportBody::Closure(news) => sorted.closure.push(news),
            }
        }
        sorted
    }

    /// `fate` is that of a denial.
    fn observe(&mut self, observation: &'a Observation, fate: Option<Fate>) {
        self.observations.push(observation);
        if fate.is_some() || observation.usage != Use::Scan {
            self.executed.push(Executed { observation, fate: fate.unwrap_or(Fate::Ran) });
        }
    }

    /// Sums observations up by file and path.
    fn seen(&self, reference: &[ScanId], evidence: &mut EvidenceBatch) -> SeenBatch<'a> {
        let mut batch = SeenBatch::new();
        for observation in &self.observations {
            let reference = observation.scan.is_some_and(|scan| reference.contains(&scan));
            let seen = Seen::new(observation, reference, evidence.add(&observation.evidence));
            match batch.entry((observation.file.sha256, path_key(&observation.path))) {
                std::collections::btree_map::Entry::Vacant(vacant) => drop(vacant.insert(seen)),
                std::collections::btree_map::Entry::Occupied(mut earlier) => earlier.get_mut().add(seen),
            }
        }
        batch
    }
}

impl Store {
    /// Takes a batch of a host; of one that was removed nothing is kept and nothing acknowledged. The sequences rise.
    ///
    /// # Errors
    /// [`super::StoreError`]; then nothing of the batch was kept and nothing may be acknowledged.
    pub async fn ingest(&self, host: HostId, epoch: [u8; 16], reports: &[Report], now: i64) -> Result<(Ingested, Effect)> {
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        let watermark = watermark(&mut work, host, &epoch).await?;
        let sorted = Sorted::new(reports, watermark);
        let (Some(sequence), Some(profile)) = (sorted.sequence, profile_of(&mut work, host).await?) else {
            return Ok((Ingested { watermark, ..Ingested::default() }, effect));
        };
        let ingested = take_observations(&mut work, host, profile, &sorted, now, &mut effect).await?;
        for inventory in &sorted.inventories {
            inventory::write(&mut work, host, profile, inventory, now, &mut effect).await?;
        }
        for turned in &sorted.turned {
            turn::still_in_use(&mut work, host, turned, now).await?;
        }
        if let Some(coverage) = sorted.coverage {
            alarm::coverage(&mut work, host, coverage, now).await?;
        }
        alarm::unjudged(&mut work, host, &sorted.unjudged, now).await?;
        alarm::closure(&mut work, host, &sorted.closure, now).await?;
        keep_state(&mut work, host, sorted.coverage, sorted.health).await?;
        raise_watermark(&mut work, host, &epoch, sequence, watermark == 0, now).await?;
        work.commit().await?;
        Ok((Ingested { watermark: sequence, ..ingested }, effect))
    }

    /// Highest sequence of a store epoch that is on disk; 0 for none.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn watermark(&self, host: HostId, epoch: &[u8; 16]) -> Result<u64> {
        watermark(&mut *self.reader.acquire().await?, host, epoch).await
    }
}

async fn take_observations(
    work: &mut Connection,
    host: HostId,
    profile: ProfileId,
    sorted: &Sorted<'_>,
    now: i64,
    effect: &mut Effect,
) -> Result<Ingested> {
    let files: BTreeMap<Sha256, &FileFacts> =
        sorted.observations.iter().map(|observation| (observation.file.sha256, &observation.file)).collect();
    if files.is_empty() {
        return Ok(Ingested::default());
    }
    let executed: BTreeSet<Sha256> = sorted.executed.iter().map(|executed| executed.observation.file.sha256).collect();
    let reference = scan::reference_scans(work, host, profile).await?;
    let mut evidence = EvidenceBatch::default();
    let seen = sorted.seen(&reference, &mut evidence);
    let previous = alarm::previous(work, host, &sorted.executed).await?;
    let superseded = sighting::superseded(work, host, &seen).await?;
    evidence.write(work, now).await?;
    file::upsert(work, &files, now).await?;
    observation::upsert(work, host, &seen, now).await?;
    execution::append(work, host, &sorted.executed).await?;
    sighting::upsert(work, profile, &seen).await?;
    sighting::sum_up(work, profile, &superseded.into_iter().collect::<Vec<_>>()).await?;
    let files: Vec<Sha256> = files.into_keys().collect();
    let marked = mark::mark_from(work, &files, Some(host), now, effect).await?;
    effect.lookups |= lookup::urge(work, &executed, now).await?;
    alarm::executions(work, host, profile, &sorted.executed, &previous, &marked, now).await?;
    record::apply(work, &marked.records, "rule", now, effect).await?;
    Ok(Ingested { watermark: 0, files, executed: executed.into_iter().collect() })
}

async fn watermark(work: &mut Connection, host: HostId, epoch: &[u8; 16]) -> Result<u64> {
    const SELECT: &str = "SELECT sequence FROM watermark WHERE host_id = $1 AND epoch = $2";
    let row = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).bind(epoch.as_slice()).fetch_optional(work).await?;
    row.map_or(Ok(0), |row| Columns(&row).number("sequence"))
}

async fn raise_watermark(work: &mut Connection, host: HostId, epoch: &[u8; 16], sequence: u64, is_new: bool, now: i64) -> Result<()> {
    const FORGET: &str = "DELETE FROM watermark WHERE host_id = $1 AND epoch <> $2 AND epoch NOT IN \
         (SELECT epoch FROM watermark WHERE host_id = $1 AND epoch <> $2 ORDER BY updated_at DESC, epoch LIMIT $3)";
    const UPSERT: &str = "INSERT INTO watermark (host_id, epoch, sequence, updated_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (host_id, epoch) DO UPDATE SET sequence = excluded.sequence, updated_at = excluded.updated_at";
    let query = sqlx::query(UPSERT).bind(host.as_bytes().as_slice()).bind(epoch.as_slice());
    query.bind(signed(sequence)).bind(now).execute(&mut *work).await?;
    if is_new {
        let query = sqlx::query(FORGET).bind(host.as_bytes().as_slice()).bind(epoch.as_slice());
        query.bind(EPOCHS_KEPT_MAX - 1).execute(work).await?;
    }
    Ok(())
}

/// `None` for a host that was removed.
async fn profile_of(work: &mut Connection, host: HostId) -> Result<Option<ProfileId>> {
    const SELECT: &str = "SELECT profile_id FROM host WHERE id = $1 AND removed_at IS NULL";
    let row = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).fetch_optional(work).await?;
    row.map(|row| Columns(&row).profile("profile_id")).transpose()
}

async fn keep_state(work: &mut Connection, host: HostId, coverage: Option<&Coverage>, health: Option<&Health>) -> Result<()> {
    const UPDATE: &str = "UPDATE host SET coverage = coalesce($2, coverage), health = coalesce($3, health) WHERE id = $1";
    if coverage.is_some() || health.is_some() {
        let query = sqlx::query(UPDATE).bind(host.as_bytes().as_slice()).bind(coverage.map(json)).bind(health.map(json));
        query.execute(work).await?;
    }
    Ok(())
}
