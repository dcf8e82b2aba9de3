//! `/hosts`: who is enrolled, how each one fares, its own mode, and its removal.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use doorward_policy::Mode;
use serde::Deserialize;

use super::extract::{Body, Path, Query, page};
use super::peer::By;
use super::{Api, Problem};
use crate::store::{Host, Page};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// `null`: its profile's. Left out it would be an error and not `null`, hence the explicit reading.
    #[serde(deserialize_with = "Option::deserialize")]
    mode: Option<Mode>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/hosts", get(list)).route("/hosts/{host}", get(show).patch(change).delete(remove))
}

async fn list(State(api): State<Api>, Query(pages): Query<Pages>) -> Result<Json<Page<Host>>, Problem> {
    let page = page(pages.limit, pages.after.as_deref())?;
    Ok(Json(api.store().hosts(&page).await?))
}

async fn show(State(api): State<Api>, Path(host): Path<String>) -> Result<Json<Host>, Problem> {
    Ok(Json(api.host(&host).await?))
}

async fn change(State(api): State<Api>, by: By, Path(host): Path<String>, Body(change): Body<Change>) -> Result<Json<Host>, Problem> {
    let host = api.living_host(&host).await?;
    let (id, mode) = (host.id, change.mode);
    api.change(&by, |store, by, now| async move { Ok(((), store.set_host_mode(id, mode, by.name(), now).await?)) }).await?;
    Ok(Json(api.host(&host.id.to_string()).await?))
}

async fn remove(State(api): State<Api>, by: By, Path(host): Path<String>) -> Result<Json<Host>, Problem> {
    let host = api.living_host(&host).await?;
    let id = host.id;
    api.change(&by, |store, by, now| async move { Ok(((), store.remove_host(id, by.name(), now).await?)) }).await?;
    Ok(Json(api.host(&host.id.to_string()).await?))
}
