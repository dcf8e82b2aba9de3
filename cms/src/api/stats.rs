//! `/stats`: how much of everything there is.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::{Api, Problem};
use crate::store::Stats;

/// The store's counts, and the engine's since the server started.
#[derive(Debug, Serialize)]
struct StatsView {
    #[serde(flatten)]
    stats: Stats,
    ti_requests: u64,
    ti_hashes: u64,
    ti_errors: BTreeMap<&'static str, u64>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/stats", get(show))
}

async fn show(State(api): State<Api>) -> Result<Json<StatsView>, Problem> {
    let stats = api.store().stats(api.now()).await?;
    let tally = api.intelligence.control.tally();
    Ok(Json(StatsView { stats, ti_requests: tally.requests(), ti_hashes: tally.hashes(), ti_errors: tally.errors() }))
}
