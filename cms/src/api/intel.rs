//! `/intel`: how threat intelligence fares, and asking again before it is time.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use doorward_policy::Sha256;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use super::peer::By;
use super::{Api, Problem};
use crate::intel::Health;
use crate::store::Recheck;

/// Provider and queue.
#[derive(Debug, Serialize)]
struct IntelView {
    provider: String,
    health: Health,
    /// Since the server started: requests sent, hashes in answered ones, answers with undocumented words, failures by kind.
    requests: u64,
    hashes: u64,
    unknown_statuses: u64,
    errors: BTreeMap<&'static str, u64>,
    lookups_queued: u64,
    lookups_done: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    file: Option<Sha256>,
    profile: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Questions that will be asked again.
#[derive(Debug, Serialize)]
struct QueuedView {
    queued: u64,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/intel", get(show)).route("/intel/recheck", post(recheck))
}

async fn show(State(api): State<Api>) -> Result<Json<IntelView>, Problem> {
    let stats = api.store().stats(api.now()).await?;
    let tally = api.intelligence.control.tally();
    Ok(Json(IntelView {
        provider: api.intelligence.provider.clone(),
        health: tally.health(),
        requests: tally.requests(),
        hashes: tally.hashes(),
        unknown_statuses: tally.unknown_statuses(),
        errors: tally.errors(),
        lookups_queued: stats.lookups_queued,
        lookups_done: stats.lookups_done,
    }))
}

async fn recheck(State(api): State<Api>, by: By, Body(wish): Body<Wish>) -> Result<Json<QueuedView>, Problem> {
    let what = match (wish.file, wish.profile, wish.all) {
        (Some(file), None, false) => Recheck::File(file),
        (None, Some(name), false) => Recheck::Profile(api.profile(&name).await?.id),
        (None, None, true) => Recheck::All,
        _ => return Err(Problem::invalid("say what to ask again: one of \"file\", \"profile\" and \"all\": true")),
    };
    // First, or what is queued next would be told once more that the provider is down.
    api.intelligence.control.resume();
    let queued = api.change(&by, |store, by, now| async move { store.recheck_for(&what, by.name(), now).await }).await?;
    Ok(Json(QueuedView { queued }))
}
