//! `/sources`: packages and publishers behind files, and a person's decisions on them, which wait to be published.

use axum::extract::State;
use axum::routing::{get, put};
use axum::{Json, Router};
use doorward_policy::evidence::SOURCE_NAME_BYTES_MAX;
use doorward_policy::{Decision, PackageManager, Sha256};
use serde::{Deserialize, Serialize};

use super::extract::{Body, Query, comment, page};
use super::peer::By;
use super::scope::Reach;
use super::{Api, Problem};
use crate::profile::{GLOBAL, GLOBAL_NAME};
use crate::store::{NamedSource, Page, SourceDecision, SourceFilter, SourceKind, SourceRow};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    profile: Option<String>,
    kind: Option<SourceKind>,
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    kind: SourceKind,
    manager: Option<PackageManager>,
    name: Option<String>,
    fingerprint: Option<Sha256>,
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
}

/// A decision that waits to be published.
#[derive(Debug, Serialize)]
struct DraftedView {
    #[serde(flatten)]
    source: NamedSource,
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
    /// It comes into force with `publish`.
    draft: bool,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/sources", get(list)).route("/sources/decision", put(decide))
}

async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Page<SourceRow>>, Problem> {
    let page = page(wanted.limit, wanted.after.as_deref())?;
    let profile = match wanted.profile.as_deref().filter(|name| *name != GLOBAL_NAME) {
        Some(name) => Some(api.profile(name).await?.id),
        None => None,
    };
    Ok(Json(api.store().sources(&SourceFilter { profile, kind: wanted.kind }, &page).await?))
}

async fn decide(State(api): State<Api>, by: By, Body(wish): Body<Wish>) -> Result<Json<DraftedView>, Problem> {
    let owner = api.owner(wish.scope, wish.profile.as_deref()).await?;
    let source = source(&api, wish.kind, wish.manager, wish.name, wish.fingerprint).await?;
    let decision = SourceDecision { source, owner, decision: wish.decision, comment: comment(wish.comment)? };
    api.allowlist.decide_source(&decision, by.name()).await?;
    let SourceDecision { source, decision, comment, .. } = decision;
    let profile = wish.profile.filter(|_| owner != GLOBAL);
    Ok(Json(DraftedView { source, scope: wish.scope, profile, decision, comment, draft: true }))
}

/// A package by manager and name, a publisher by fingerprint, or by a name that only one publisher has.
async fn source(
    api: &Api,
    kind: SourceKind,
    manager: Option<PackageManager>,
    name: Option<String>,
    fingerprint: Option<Sha256>,
) -> Result<NamedSource, Problem> {
    if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > SOURCE_NAME_BYTES_MAX) {
        return Err(Problem::invalid(format!("name has 1 to {SOURCE_NAME_BYTES_MAX} bytes")));
    }
    match (kind, manager, name, fingerprint) {
        (SourceKind::Package, Some(manager), Some(name), None) => Ok(NamedSource::Package { manager, name }),
        (SourceKind::Package, ..) => Err(Problem::invalid("a package is named by manager and name, and by nothing else")),
        (SourceKind::Publisher, None, name, Some(fingerprint)) => {
            Ok(NamedSource::Publisher { fingerprint, name: name.unwrap_or_else(|| fingerprint.to_string()) })
        }
        (SourceKind::Publisher, None, Some(name), None) => {
            let mut named = api.store().publishers_named(&name, 2).await?;
            match (named.pop(), named.is_empty()) {
                (None, _) => Err(Problem::not_found(format!("no host named a publisher {name:?}; give its fingerprint"))),
                (Some(source), true) => Ok(source),
                (Some(_), false) => Err(Problem::conflict(format!("several publishers call themselves {name:?}; give the fingerprint"))),
            }
        }
        (SourceKind::Publisher, ..) => Err(Problem::invalid("a publisher is named by fingerprint or by name, and by nothing else")),
    }
}
