//! `/files`: everything about one file, and a person's decision on it.

use axum::extract::State;
use axum::routing::{get, put};
use axum::{Json, Router};
use doorward_policy::{Decision, Sha256, Status, StatusReason};
use serde::{Deserialize, Serialize};

use super::extract::{Body, Path, Query, comment};
use super::peer::By;
use super::scope::Reach;
use super::{Api, Problem};
use crate::profile::GLOBAL;
use crate::store::{FileDecision, FileDetail};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    profile: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
}

/// A decision that is in force, beside what the file is: the one never changes the other, so a person must see both.
#[derive(Debug, Serialize)]
struct DecidedView {
    sha256: Sha256,
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
    /// `null` when no host met the file yet.
    status: Option<Status>,
    reason: Option<StatusReason>,
    threat_score: Option<u8>,
    threat_name: Option<String>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/files/{sha256}", get(show)).route("/files/{sha256}/decision", put(decide))
}

async fn show(State(api): State<Api>, Path(file): Path<Sha256>, Query(wanted): Query<Wanted>) -> Result<Json<FileDetail>, Problem> {
    let profile = match &wanted.profile {
        Some(name) => Some(api.profile_or_global(name).await?.id),
        None => None,
    };
    let found = api.store().file(&file, profile, api.now()).await?;
    let missing = || Problem::not_found(format!("no host reported file {file} and nobody decided on it"));
    Ok(Json(found.ok_or_else(missing)?))
}

async fn decide(State(api): State<Api>, by: By, Path(file): Path<Sha256>, Body(wish): Body<Wish>) -> Result<Json<DecidedView>, Problem> {
    let owner = api.owner(wish.scope, wish.profile.as_deref()).await?;
    let decision = FileDecision { file, owner, decision: wish.decision, comment: comment(wish.comment)? };
    api.allowlist.decide_file(&decision, by.name()).await?;
    let detail = api.store().file(&file, Some(owner).filter(|owner| *owner != GLOBAL), api.now()).await?;
    let met = detail.filter(|detail| detail.row.kind.is_some()).map(|detail| detail.row);
    Ok(Json(DecidedView {
        sha256: file,
        scope: wish.scope,
        profile: wish.profile,
        decision: wish.decision,
        comment: decision.comment,
        status: met.as_ref().map(|row| row.status),
        reason: met.as_ref().map(|row| row.reason),
        threat_score: met.as_ref().and_then(|row| row.threat_score),
        threat_name: met.and_then(|row| row.threat_name),
    }))
}
