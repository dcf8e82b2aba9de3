//! `/incidents`: what a person should see, with a sentence that says it.

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use doorward_policy::{HostId, PathBytes, Sha256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::extract::{Body, Path, Query, comment, page};
use super::peer::{Actor, By};
use super::summary::{paths, summary};
use super::{Api, Problem};
use crate::incident::{Detail, Kind};
use crate::signals::Effect;
use crate::store::{IncidentFilter, IncidentView as Incident, Page, Store};

/// An incident, told.
#[derive(Debug, Serialize)]
struct IncidentView {
    id: Uuid,
    kind: Kind,
    sha256: Option<Sha256>,
    host_id: Option<HostId>,
    host: Option<String>,
    /// One sentence.
    summary: String,
    /// What it is about, by path; the first ten.
    paths: Vec<PathBytes>,
    /// How often it happened while it was open.
    count: u64,
    first_at: i64,
    last_at: i64,
    state: Life,
    closed_at: Option<i64>,
    closed_by: Option<String>,
    comment: Option<String>,
    /// By kind; the newest occurrence's.
    detail: Detail,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Life {
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    open: Option<bool>,
    file: Option<Sha256>,
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledgement {
    comment: Option<String>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/incidents", get(list)).route("/incidents/{id}", get(show)).route("/incidents/{id}/acknowledge", post(acknowledge))
}

async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Page<IncidentView>>, Problem> {
    let page = page(wanted.limit, wanted.after.as_deref())?;
    let found = api.store().incidents(&IncidentFilter { open: wanted.open, file: wanted.file }, &page).await?;
    Ok(Json(Page { items: found.items.into_iter().map(IncidentView::from).collect(), next: found.next }))
}

async fn show(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Json<IncidentView>, Problem> {
    Ok(Json(api.store().incident(id).await?.ok_or_else(|| missing(id))?.into()))
}

async fn acknowledge(
    State(api): State<Api>,
    by: By,
    Path(id): Path<Uuid>,
    Body(acknowledgement): Body<Acknowledgement>,
) -> Result<Json<IncidentView>, Problem> {
    let comment = comment(acknowledgement.comment)?;
    let close = |store: Store, by: Actor, now| async move {
        Ok((store.acknowledge_incident(id, by.name(), comment.as_deref(), now).await?, Effect::default()))
    };
    let closed = api.change(&by, close).await?;
    Ok(Json(closed.ok_or_else(|| missing(id))?.into()))
}

fn missing(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no incident {id}; `doorward-cms incident list` names them"))
}

impl From<Incident> for IncidentView {
    fn from(incident: Incident) -> Self {
        Self {
            id: incident.id,
            kind: incident.kind,
            sha256: incident.file,
            host_id: incident.host_id,
            summary: summary(&incident),
            paths: paths(&incident.detail),
            host: incident.host,
            count: incident.count,
            first_at: incident.first_at,
            last_at: incident.last_at,
            state: if incident.open { Life::Open } else { Life::Closed },
            closed_at: incident.closed_at,
            closed_by: incident.closed_by,
            comment: incident.comment,
            detail: incident.detail,
        }
    }
}
