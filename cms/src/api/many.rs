//! `/files/decisions`: a person's decision on many files at once. What cannot be decided so is left out and told, the rest is in force.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use doorward_policy::{Decision, Sha256};
use serde::{Deserialize, Serialize};

use super::extract::{Body, comment};
use super::limit::DECISIONS_MAX;
use super::peer::By;
use super::scope::Reach;
use super::{Api, Problem};
use crate::allowlist::{Because, LeftOut};
use crate::store::FileDecisions;

/// Characters of a name that is none, shown back.
const NAME_SHOWN_MAX: usize = 80;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
    /// Read as text, so that one name that is none keeps no other from being decided.
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DecidedView {
    scope: Reach,
    profile: Option<String>,
    decision: Decision,
    comment: Option<String>,
    /// Files that stand otherwise now.
    decided: u64,
    /// Files that stood so before, by a person's word.
    unchanged: u64,
    refused: Vec<RefusedView>,
}

#[derive(Debug, Serialize)]
struct RefusedView {
    file: String,
    because: Because,
    detail: String,
}

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/files/decisions", post(decide))
}

async fn decide(State(api): State<Api>, by: By, Body(wish): Body<Wish>) -> Result<Json<DecidedView>, Problem> {
    if !(1..=DECISIONS_MAX).contains(&wish.files.len()) {
        let detail = format!("{} files are named; one request takes 1 to {DECISIONS_MAX}, so send more in parts", wish.files.len());
        return Err(Problem::invalid(detail));
    }
    let owner = api.owner(wish.scope, wish.profile.as_deref()).await?;
    let (files, mut refused) = read(&wish.files);
    let decisions = FileDecisions { files, owner, decision: wish.decision, comment: comment(wish.comment)? };
    let (decided, left_out) = api.allowlist.decide_files(&decisions, by.name()).await?;
    refused.extend(left_out.into_iter().map(RefusedView::from));
    Ok(Json(DecidedView {
        scope: wish.scope,
        profile: wish.profile,
        decision: wish.decision,
        comment: decisions.comment,
        decided: decided.decided,
        unchanged: decided.unchanged,
        refused,
    }))
}

fn read(names: &[String]) -> (BTreeSet<Sha256>, Vec<RefusedView>) {
    let (mut files, mut refused) = (BTreeSet::new(), Vec::new());
    for name in names {
        match name.parse() {
            Ok(file) => drop(files.insert(file)),
            Err(error) => {
                let file = name.chars().take(NAME_SHOWN_MAX).collect();
                refused.push(RefusedView { file, because: Because::Malformed, detail: format!("{error}") });
            }
        }
    }
    (files, refused)
}

impl From<LeftOut> for RefusedView {
    fn from(left_out: LeftOut) -> Self {
        Self { file: left_out.file.to_string(), because: left_out.because, detail: left_out.detail }
    }
}
