//! `/profiles/{name}/allowlist`: a profile's files in pages, threats first.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use doorward_policy::Status;
use serde::Deserialize;

use super::extract::{Path, Query, page};
use super::{Api, Problem};
use crate::store::{ListingFilter, ListingRow, Page};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    status: Option<Status>,
    limit: Option<u32>,
    after: Option<String>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/profiles/{name}/allowlist", get(list))
}

async fn list(State(api): State<Api>, Path(name): Path<String>, Query(wanted): Query<Wanted>) -> Result<Json<Page<ListingRow>>, Problem> {
    let page = page(wanted.limit, wanted.after.as_deref())?;
    let profile = api.profile_or_global(&name).await?;
    Ok(Json(api.store().listing(&ListingFilter { profile: profile.id, status: wanted.status }, &page).await?))
}
