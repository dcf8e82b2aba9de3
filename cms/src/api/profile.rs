//! `/profiles`: settings in draft and in force, publishing them, and what was changed.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use doorward_proto::snapshot::RecordKind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::extract::{Body, Path, Query, page};
use super::peer::{Actor, By};
use super::{Api, Problem};
use crate::profile::{NAME_BYTES_MAX, SettingChange, SettingsPatch, is_name};
use crate::signals::Effect;
use crate::store::{ChangeRow, Difference, Page, Profile, Published, Store};

/// Records' words, for changes.
const RECORD_WORDS: [(RecordKind, &str); 10] = [
    (RecordKind::FileDeniedByPerson, "file_denied_by_person"),
    (RecordKind::FileAllowedByPerson, "file_allowed_by_person"),
    (RecordKind::FileThreatMalicious, "file_threat_malicious"),
    (RecordKind::FileThreatSuspicious, "file_threat_suspicious"),
    (RecordKind::FileAllowedByRule, "file_allowed_by_rule"),
    (RecordKind::PackageAllowed, "package_allowed"),
    (RecordKind::PackageDenied, "package_denied"),
    (RecordKind::PublisherAllowed, "publisher_allowed"),
    (RecordKind::PublisherDenied, "publisher_denied"),
    (RecordKind::ClosureFile, "closure_file"),
];

/// A profile with what waits to be published.
#[derive(Debug, Serialize)]
struct ProfileView {
    #[serde(flatten)]
    profile: Profile,
    /// Settings whose draft differs from what is in force.
    unpublished: Vec<SettingChange>,
}

/// One change of a policy, in words.
#[derive(Debug, Serialize)]
struct ChangeView {
    #[serde(flatten)]
    row: ChangeRow,
    /// What the record says.
    record: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProfile {
    name: String,
    tag: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    limit: Option<u32>,
    after: Option<String>,
}

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/profiles", get(list).post(create))
        .route("/profiles/{name}", get(show).patch(draft))
        .route("/profiles/{name}/publish", post(publish))
        .route("/profiles/{name}/diff", get(difference))
        .route("/profiles/{name}/changes", get(changes))
}

async fn list(State(api): State<Api>) -> Result<Json<Page<ProfileView>>, Problem> {
    let items = api.store().profiles().await?.into_iter().map(ProfileView::from).collect();
    Ok(Json(Page { items, next: None }))
}

async fn create(State(api): State<Api>, by: By, Body(new): Body<NewProfile>) -> Result<(StatusCode, Json<ProfileView>), Problem> {
    for (what, text) in [("name", &new.name), ("tag", &new.tag)] {
        if !is_name(text) {
            let rule = format!(
                "1 to {NAME_BYTES_MAX} letters, digits, \"-\", \"_\" and \".\", starting with a letter or digit, and not \"global\""
            );
            return Err(Problem::invalid(format!("{text:?} cannot be a profile's {what}: that is {rule}")));
        }
    }
    let create = |store: Store, by: Actor, now| async move {
        Ok((store.create_profile(&new.name, &new.tag, by.name(), now).await?, Effect::default()))
    };
    let profile = api.change(&by, create).await?;
    Ok((StatusCode::CREATED, Json(profile.into())))
}

async fn show(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ProfileView>, Problem> {
    Ok(Json(api.profile_or_global(&name).await?.into()))
}

async fn draft(
    State(api): State<Api>,
    by: By,
    Path(name): Path<String>,
    Body(members): Body<Map<String, Value>>,
) -> Result<Json<ProfileView>, Problem> {
    let profile = api.profile(&name).await?;
    let mut patch = SettingsPatch::new(members);
    if let Some(host) = patch.reference_host().map(str::to_owned) {
        let host = api.living_host(&host).await?;
        if host.profile_id != profile.id {
            return Err(Problem::conflict(format!("host {} is in profile {}, not in {name}", host.id, host.profile)));
        }
        patch.resolve_reference_host(host.id);
    }
    let settings = patch.apply(&profile.draft).map_err(|error| Problem::invalid(error.to_string()))?;
    if settings != profile.draft {
        let draft = |store: Store, by: Actor, now| async move {
            Ok((store.draft_settings(profile.id, &settings, by.name(), now).await?, Effect::default()))
        };
        api.change(&by, draft).await?;
    }
    show(State(api), Path(name)).await
}

async fn publish(State(api): State<Api>, by: By, Path(name): Path<String>) -> Result<Json<Published>, Problem> {
    let published = api.allowlist.publish(&name, by.name()).await?;
    Ok(Json(published.ok_or_else(|| Problem::not_found(format!("there is no profile {name:?}")))?))
}

async fn difference(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Difference>, Problem> {
    let difference = api.store().difference(&name).await?;
    Ok(Json(difference.ok_or_else(|| Problem::not_found(format!("there is no profile {name:?}")))?))
}

async fn changes(State(api): State<Api>, Path(name): Path<String>, Query(pages): Query<Pages>) -> Result<Json<Page<ChangeView>>, Problem> {
    let page = page(pages.limit, pages.after.as_deref())?;
    let profile = api.profile_or_global(&name).await?;
    let rows = api.store().changes(profile.id, &page).await?;
    Ok(Json(Page { items: rows.items.into_iter().map(ChangeView::from).collect(), next: rows.next }))
}

impl From<Profile> for ProfileView {
    fn from(profile: Profile) -> Self {
        let unpublished = profile.draft.changes(&profile.published);
        Self { profile, unpublished }
    }
}

impl From<ChangeRow> for ChangeView {
    fn from(row: ChangeRow) -> Self {
        let known = RECORD_WORDS.into_iter().find(|(kind, _)| *kind as u8 == row.kind);
        Self { record: known.map_or("unknown", |(_, word)| word), row }
    }
}
