//! Scans the CMS asked for by id. Only such an id, of the host that is the profile's reference host now and while the scan goes on, makes
//! a reference scan.

use doorward_policy::{HostId, ProfileId, ScanId};
use doorward_proto::uplink::{CommandBody, ScanProgress, ScanState, StartScan};
use serde::{Deserialize, Serialize};

use super::audit::{self, Act};
use super::column::{Columns, json, word};
use super::{Connection, Result, Store, command, mint, profile};
use crate::signals::Effect;

/// How a scan goes, as far as the CMS knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredScanState {
    /// The host has not begun.
    Requested,
    /// Under way.
    Running,
    /// Everything was looked at, and every observation is here.
    Done,
    /// Ended early on request.
    Stopped,
    /// Ended early by itself, or never begun.
    Failed,
}

impl From<ScanState> for StoredScanState {
    fn from(state: ScanState) -> Self {
        match state {
            ScanState::Running => Self::Running,
            ScanState::Done => Self::Done,
            ScanState::Stopped => Self::Stopped,
            ScanState::Failed => Self::Failed,
        }
    }
}

/// A scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScanView {
    /// Stands in every observation the scan makes.
    pub id: ScanId,
    /// The profile it is for.
    pub profile: String,
    /// The host that scans.
    pub host_id: HostId,
    /// That host's name.
    pub host: String,
    /// Its findings may be allowed as those of a reference scan.
    pub reference: bool,
    /// How it goes.
    pub state: StoredScanState,
    /// Microseconds since 1970, UTC.
    pub requested_at: i64,
    /// Who asked.
    pub requested_by: String,
    /// When the host last said something about it.
    pub updated_at: i64,
    /// As last reported.
    pub progress: Option<ScanProgress>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Store {
    /// Asks a host for a full scan. On a profile without a reference host it becomes that; on the reference host it is a reference
    /// scan, on any other just a scan.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn request_scan(&self, profile: ProfileId, host: HostId, actor: &str, now: i64) -> Result<(ScanView, Effect)> {
        const INSERT: &str = "INSERT INTO scan (id, profile_id, host_id, reference, state, requested_at, requested_by, updated_at) \
             VALUES ($1, $2, $3, $4, 'requested', $5, $6, $5)";
        let scan = ScanId::new(mint(now));
        let mut effect = Effect::default();
        let mut work = self.begin().await?;
        let reference = profile::adopt_reference_host(&mut work, profile, host).await?;
        sqlx::query(INSERT)
            .bind(scan.as_bytes().as_slice())
            .bind(profile.as_bytes().as_slice())
            .bind(host.as_bytes().as_slice())
            .bind(reference)
            .bind(now)
            .bind(actor)
            .execute(&mut *work)
            .await?;
        let body = CommandBody::StartScan(StartScan { scan, reference, roots: Vec::new() });
        command::queue(&mut work, host, body, now, &mut effect).await?;
        let (target, after) = (host.to_string(), scan.to_string());
        let act = Act { at: now, actor, action: "scan.request", target: &target, after: Some(&after), ..Act::default() };
        audit::append(&mut work, act).await?;
        let view = find(&mut work, scan).await?.expect("it was inserted a moment ago");
        work.commit().await?;
        Ok((view, effect))
    }

    /// A scan by id.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn scan(&self, id: ScanId) -> Result<Option<ScanView>> {
        find(&mut *self.reader.acquire().await?, id).await
    }

    /// Keeps what a host says about a scan of its own; about any other, or one that has ended, it is ignored.
    ///
    /// # Errors
    /// [`super::StoreError`].
    pub async fn scan_progress(&self, host: HostId, progress: &ScanProgress, now: i64) -> Result<()> {
        const UPDATE: &str = "UPDATE scan SET state = $3, progress = $4, updated_at = $5 \
             WHERE id = $1 AND host_id = $2 AND state IN ('requested', 'running')";
        sqlx::query(UPDATE)
            .bind(progress.scan.as_bytes().as_slice())
            .bind(host.as_bytes().as_slice())
            .bind(word(&StoredScanState::from(progress.state)))
            .bind(json(progress))
            .bind(now)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

/// The scans that make what this host reports now a finding of its profile's reference scan. A host that was its reference host when the
/// scan began has none.
pub(super) async fn reference_scans(work: &mut Connection, host: HostId, profile: ProfileId) -> Result<Vec<ScanId>> {
    const SELECT: &str =
        "SELECT id FROM scan WHERE host_id = $1 AND profile_id = $2 AND reference <> 0 AND state IN ('requested', 'running')";
    if profile::published(work, profile).await?.reference_host != Some(host) {
        return Ok(Vec::new());
    }
    let query = sqlx::query(SELECT).bind(host.as_bytes().as_slice()).bind(profile.as_bytes().as_slice());
    let rows = query.fetch_all(work).await?;
    rows.iter().map(|row| Columns(row).scan("id")).collect()
}

pub(super) async fn failed(work: &mut Connection, id: ScanId, error: &str, now: i64) -> Result<()> {
    const UPDATE: &str =
        "UPDATE scan SET state = 'failed', error = $2, updated_at = $3 WHERE id = $1 AND state IN ('requested', 'running')";
    sqlx::query(UPDATE).bind(id.as_bytes().as_slice()).bind(error).bind(now).execute(work).await?;
    Ok(())
}

async fn find(work: &mut Connection, id: ScanId) -> Result<Option<ScanView>> {
    const SELECT: &str = "SELECT s.*, p.name AS profile, h.name AS host FROM scan s \
         JOIN profile p ON p.id = s.profile_id JOIN host h ON h.id = s.host_id WHERE s.id = $1";
    let row = sqlx::query(SELECT).bind(id.as_bytes().as_slice()).fetch_optional(work).await?;
    row.map(|row| scan(&Columns(&row))).transpose()
}

fn scan(row: &Columns<'_>) -> Result<ScanView> {
    Ok(ScanView {
        id: row.scan("id")?,
        profile: row.text("profile")?,
        host_id: row.host("host_id")?,
        host: row.text("host")?,
        reference: row.flag("reference")?,
        state: row.word("state")?,
        requested_at: row.time("requested_at")?,
        requested_by: row.text("requested_by")?,
        updated_at: row.time("updated_at")?,
        progress: row.maybe_json("progress")?,
        error: row.maybe_text("error")?,
    })
}
