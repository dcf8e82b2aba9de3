//! `/sources`: packages and publishers behind files, and a person's decisions on them, which wait to be published.

use axum::extract::State;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use doorward_policy::evidence::SOURCE_NAME_BYTES_MAX;
use doorward_policy::{Decision, HostId, PackageManager, ProfileId, Sha256, VersionRange};
use serde::{Deserialize, Serialize};

use super::extract::{Body, Path, Query, comment, page};
use super::peer::{Actor, By};
use super::scope::Reach;
use super::{Api, Problem};
use crate::profile::{GLOBAL, GLOBAL_NAME};
use crate::signals::Effect;
use crate::store::{Extent, NamedSource, Page, SourceDecision, SourceDetail, SourceFilter, SourceKind, SourceRow, SourceState, Store};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    profile: Option<String>,
    kind: Option<SourceKind>,
    manager: Option<PackageManager>,
    state: Option<SourceState>,
    host: Option<String>,
    text: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    profile: Option<String>,
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
    versions: Option<String>,
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
    #[serde(default)]
    preview: bool,
}

/// A decision that waits to be published, or would.
#[derive(Debug, Serialize)]
struct DraftedView {
    key: Sha256,
    #[serde(flatten)]
    source: NamedSource,
    versions: Option<VersionRange>,
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
    /// It comes into force with `publish`; false for a preview, which changes nothing.
    draft: bool,
    /// What the hosts in scope have of these versions.
    extent: Extent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adoption {
    host: Option<String>,
}

/// What a host has was drafted as allowed.
#[derive(Debug, Serialize)]
struct AdoptedView {
    profile: String,
    host_id: HostId,
    adopted: u64,
}

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/sources", get(list))
        .route("/sources/decision", put(decide))
        .route("/sources/{key}", get(show))
        .route("/profiles/{name}/sources/adopt", post(adopt))
}

async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Page<SourceRow>>, Problem> {
    let page = page(wanted.limit, wanted.after.as_deref())?;
    let host = match wanted.host.as_deref() {
        Some(host) => Some(api.host(host).await?.id),
        None => None,
    };
    let Wanted { kind, manager, state, text, .. } = wanted;
    if text.as_ref().is_some_and(|text| text.len() > SOURCE_NAME_BYTES_MAX) {
        return Err(Problem::malformed(format!("text has more than {SOURCE_NAME_BYTES_MAX} bytes")));
    }
    let profile = looked_at(&api, wanted.profile.as_deref()).await?;
    Ok(Json(api.store().sources(&SourceFilter { profile, kind, manager, state, host, text }, &page).await?))
}

async fn show(State(api): State<Api>, Path(key): Path<String>, Query(shown): Query<Shown>) -> Result<Json<SourceDetail>, Problem> {
    let page = page(shown.limit, shown.after.as_deref())?;
    let missing = || Problem::not_found(format!("no source has the key {key:?}; `doorward-cms source list` names them"));
    let digest: Sha256 = key.parse().map_err(|_| missing())?;
    let profile = looked_at(&api, shown.profile.as_deref()).await?;
    Ok(Json(api.store().source(&digest, profile, &page).await?.ok_or_else(missing)?))
}

/// The profile whose view is wanted; `None` for that of the global scope.
async fn looked_at(api: &Api, profile: Option<&str>) -> Result<Option<ProfileId>, Problem> {
    match profile.filter(|name| *name != GLOBAL_NAME) {
        Some(name) => Ok(Some(api.profile(name).await?.id)),
        None => Ok(None),
    }
}

async fn decide(State(api): State<Api>, by: By, Body(wish): Body<Wish>) -> Result<Json<DraftedView>, Problem> {
    let owner = api.owner(wish.scope, wish.profile.as_deref()).await?;
    let source = source(&api, wish.kind, wish.manager, wish.name, wish.fingerprint).await?;
    let versions = versions(&source, wish.versions.as_deref())?;
    let key = Sha256::new(source.key());
    let decision = SourceDecision { source, versions, owner, decision: wish.decision, comment: comment(wish.comment)? };
    if !wish.preview {
        api.allowlist.decide_source(&decision, by.name()).await?;
    }
    let SourceDecision { source, versions, decision, comment, .. } = decision;
    let extent = api.store().source_extent(owner, &key, versions.as_ref()).await?;
    let profile = wish.profile.filter(|_| owner != GLOBAL);
    Ok(Json(DraftedView { key, source, versions, scope: wish.scope, profile, decision, comment, draft: !wish.preview, extent }))
}

async fn adopt(
    State(api): State<Api>,
    by: By,
    Path(name): Path<String>,
    Body(adoption): Body<Adoption>,
) -> Result<Json<AdoptedView>, Problem> {
    let profile = api.profile(&name).await?;
    let host_id = match adoption.host.as_deref() {
        Some(host) => api.living_host(host).await?.id,
        None => profile.draft.reference_host.ok_or_else(|| {
            Problem::conflict(format!("profile {name:?} has no reference host; name a host, or scan one with `doorward-cms profile scan`"))
        })?,
    };
    let owner = profile.id;
    let adopted = api
        .change(&by, move |store: Store, by: Actor, now| async move {
            Ok((store.adopt_sources(owner, host_id, by.name(), now).await?, Effect::default()))
        })
        .await?;
    Ok(Json(AdoptedView { profile: name, host_id, adopted }))
}

/// The versions an entry is to be about; only packages have any.
fn versions(source: &NamedSource, text: Option<&str>) -> Result<Option<VersionRange>, Problem> {
    match (source, text) {
        (_, None) => Ok(None),
        (NamedSource::Publisher { .. }, Some(_)) => Err(Problem::invalid("a publisher has no versions; leave them out")),
        (NamedSource::Package { manager, .. }, Some(text)) => {
            let range = text.parse::<VersionRange>().and_then(|range| range.not_empty(*manager));
            range.map(Some).map_err(|error| Problem::invalid(error.to_string()))
        }
    }
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
