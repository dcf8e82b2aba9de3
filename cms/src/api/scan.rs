//! `/scans`: asking a host to scan itself, and how that goes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use doorward_policy::{HostId, ScanId};
use doorward_proto::uplink::{ScanProgress, ScanState};
use serde::{Deserialize, Serialize};

use super::extract::{Body, Path};
use super::peer::By;
use super::{Api, Problem};
use crate::store::{ScanView as Scan, StoredScanState};

/// A scan and how it goes.
#[derive(Debug, Serialize)]
struct ScanView {
    id: ScanId,
    profile: String,
    host_id: HostId,
    host: String,
    /// The host has an open stream now.
    connected: bool,
    /// Its findings may be allowed as those of a reference scan.
    reference: bool,
    state: StoredScanState,
    requested_at: i64,
    requested_by: String,
    updated_at: i64,
    /// As last reported; `null` before the host began.
    progress: Option<ProgressView>,
    error: Option<String>,
}

/// How far a scan is.
#[derive(Debug, Serialize)]
struct ProgressView {
    scan_id: ScanId,
    files: u64,
    files_total: u64,
    candidates: u64,
    bytes: u64,
    package_trusted: u64,
    otherwise_trusted: u64,
    unresolved: u64,
    skipped: u64,
    elapsed_ms: u64,
    state: ScanState,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewScan {
    host: String,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/profiles/{name}/scans", post(request)).route("/scans/{id}", get(show))
}

async fn request(
    State(api): State<Api>,
    by: By,
    Path(name): Path<String>,
    Body(new): Body<NewScan>,
) -> Result<(StatusCode, Json<ScanView>), Problem> {
    let profile = api.profile(&name).await?;
    let host = api.living_host(&new.host).await?;
    if host.profile_id != profile.id {
        return Err(Problem::conflict(format!("host {} is in profile {}, not in {name}", host.id, host.profile)));
    }
    let (on, of) = (host.id, profile.id);
    let scan = api.change(&by, |store, by, now| async move { store.request_scan(of, on, by.name(), now).await }).await?;
    Ok((StatusCode::CREATED, Json(ScanView::new(scan, host.connected))))
}

async fn show(State(api): State<Api>, Path(id): Path<ScanId>) -> Result<Json<ScanView>, Problem> {
    let scan = api.store().scan(id).await?.ok_or_else(|| Problem::not_found(format!("there is no scan {id}")))?;
    let host = api.store().host(scan.host_id).await?;
    Ok(Json(ScanView::new(scan, host.is_some_and(|host| host.connected))))
}

impl ScanView {
    fn new(scan: Scan, connected: bool) -> Self {
        Self {
            id: scan.id,
            profile: scan.profile,
            host_id: scan.host_id,
            host: scan.host,
            connected,
            reference: scan.reference,
            state: scan.state,
            requested_at: scan.requested_at,
            requested_by: scan.requested_by,
            updated_at: scan.updated_at,
            progress: scan.progress.map(ProgressView::from),
            error: scan.error,
        }
    }
}

impl From<ScanProgress> for ProgressView {
    fn from(progress: ScanProgress) -> Self {
        Self {
            scan_id: progress.scan,
            files: progress.files,
            files_total: progress.files_total,
            candidates: progress.candidates,
            bytes: progress.bytes,
            package_trusted: progress.package_trusted,
            otherwise_trusted: progress.otherwise_trusted,
            unresolved: progress.unresolved,
            skipped: progress.skipped,
            elapsed_ms: progress.elapsed_ms,
            state: progress.state,
        }
    }
}
