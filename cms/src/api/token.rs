//! `/tokens`: what lets a host enroll. The token itself is in the answer that makes it and nowhere else.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::extract::{Body, Path, Query, page};
use super::limit::{TOKEN_LIFE_S, TOKEN_USES_MAX};
use super::peer::{Actor, By};
use super::{Api, Problem};
use crate::enrollment::mint_token;
use crate::signals::Effect;
use crate::store::{NewToken, Page, Store, TokenView};

/// A token that was just made.
#[derive(Debug, Serialize)]
struct MintedView {
    #[serde(flatten)]
    view: TokenView,
    /// To be handed to the host.
    token: String,
    /// The CA the token pins.
    ca_key_hash: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    profile: String,
    #[serde(default = "one")]
    uses: u32,
    #[serde(default = "a_day")]
    expires_in_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    limit: Option<u32>,
    after: Option<String>,
}

const fn one() -> u32 {
    1
}

const fn a_day() -> u64 {
    24 * 3600
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/tokens", get(list).post(create)).route("/tokens/{id}", delete(revoke))
}

async fn list(State(api): State<Api>, Query(pages): Query<Pages>) -> Result<Json<Page<TokenView>>, Problem> {
    let page = page(pages.limit, pages.after.as_deref())?;
    Ok(Json(api.store().tokens(&page).await?))
}

async fn create(State(api): State<Api>, by: By, Body(wish): Body<Wish>) -> Result<(StatusCode, Json<MintedView>), Problem> {
    if !(1..=TOKEN_USES_MAX).contains(&wish.uses) {
        return Err(Problem::invalid(format!("uses is {}; it is 1 to {TOKEN_USES_MAX}", wish.uses)));
    }
    if !TOKEN_LIFE_S.contains(&wish.expires_in_s) {
        let (shortest, longest) = (TOKEN_LIFE_S.start(), TOKEN_LIFE_S.end());
        return Err(Problem::invalid(format!("expires_in_s is {}; it is {shortest} to {longest}", wish.expires_in_s)));
    }
    let profile = api.profile(&wish.profile).await?;
    let (minted, now) = (mint_token(api.ca_key_hash), api.now());
    let life = i64::try_from(wish.expires_in_s).expect("a token's life is bounded") * 1_000_000;
    let new = NewToken { secret_hash: minted.secret_hash, profile: profile.id, uses: wish.uses, expires_at: now + life };
    let create = |store: Store, by: Actor, now| async move { Ok((store.create_token(&new, by.name(), now).await?, Effect::default())) };
    let view = api.change(&by, create).await?;
    let minted = MintedView { view, token: minted.token.to_string(), ca_key_hash: HEXLOWER.encode(&api.ca_key_hash) };
    Ok((StatusCode::CREATED, Json(minted)))
}

async fn revoke(State(api): State<Api>, by: By, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    let revoke = |store: Store, by: Actor, now| async move { Ok((store.revoke_token(id, by.name(), now).await?, Effect::default())) };
    match api.change(&by, revoke).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!("there is no token {id}; `doorward-cms token list` names them"))),
    }
}
