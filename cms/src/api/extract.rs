//! Parts of a request as handlers take them. They differ from axum's own only in how they refuse: with a [`Problem`].

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Problem;
use super::limit::COMMENT_BYTES_MAX;
use crate::store::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, PageRequest};

/// A JSON body. Its type refuses unknown fields.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(body) = axum::Json::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// What stands behind the question mark. Its type refuses unknown names.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(query) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// The variable part of the path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(path) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(path))
    }
}

/// The part of a list that `limit` and `after` ask for.
pub(super) fn page(limit: Option<u32>, after: Option<&str>) -> Result<PageRequest, Problem> {
    let limit = limit.unwrap_or(PAGE_ROWS_DEFAULT);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err(Problem::malformed(format!("limit is {limit}; it is 1 to {PAGE_ROWS_MAX}")));
    }
    Ok(PageRequest { limit, after: after.map(str::parse).transpose()? })
}

/// A comment of bearable length; an empty one is none.
pub(super) fn comment(text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > COMMENT_BYTES_MAX => {
            Err(Problem::invalid(format!("the comment has {} bytes; it may have {COMMENT_BYTES_MAX}", text.len())))
        }
        text => Ok(text.filter(|text| !text.trim().is_empty())),
    }
}
