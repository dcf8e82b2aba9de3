//! What a request that was not granted is answered with: `application/problem+json` (RFC 9457), in sentences a person can act on.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::allowlist::DecideError;
use crate::store::{CursorError, StoreError};

/// Media type of every answer that is not a success.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A refusal, as it stands in the answer's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:doorward:problem:` and a word that programs can compare.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of the kind.
    pub title: String,
    /// The HTTP status, again.
    pub status: u16,
    /// What was wrong with this request, and what to do.
    pub detail: String,
}

impl Problem {
    fn new(status: StatusCode, word: &str, title: &str, detail: impl Into<String>) -> Self {
        Self { kind: format!("urn:doorward:problem:{word}"), title: title.into(), status: status.as_u16(), detail: detail.into() }
    }

    /// Nothing goes by that name.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// The request cannot be understood.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be understood", detail)
    }

    /// The request is understood and asks for what cannot be.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The request asks for what cannot be", detail)
    }

    /// As things are, it cannot be done.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "As things are, this cannot be done", detail)
    }

    /// The caller is somebody else.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "This is not yours to ask", detail)
    }

    /// The path is there, the method is not.
    pub(super) fn method() -> Self {
        let detail = "this path does not take that method; docs/API.md lists what it takes";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed here", detail)
    }

    /// Too many requests at once.
    pub(super) fn busy() -> Self {
        let detail = "the server works on as many requests as it takes at a time; try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is busy", detail)
    }

    /// The request took too long.
    pub(super) fn overdue() -> Self {
        let detail = "the answer took too long. A question was given up; a change that was begun goes on to its end, so look whether it was \
             made before you ask for it again";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "overdue", "The request took too long", detail)
    }

    fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed", detail)
    }

    fn rejected(status: StatusCode, detail: String) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                status,
                "too-large",
                "The body is too large",
                format!("the body has more than {} bytes", super::limit::BODY_BYTES_MAX),
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "media-type", "The body is no JSON", "send the body with content-type: application/json")
            }
            StatusCode::UNPROCESSABLE_ENTITY => Self::invalid(detail),
            status if status.is_server_error() => Self::internal(detail),
            _ => Self::malformed(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken { .. } | StoreError::TooMany { .. } => Self::conflict(error.to_string()),
            StoreError::Cursor(_) => Self::malformed(error.to_string()),
            _ => {
                tracing::error!(%error, "a request failed");
                Self::internal(error.to_string())
            }
        }
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        Self::malformed(error.to_string())
    }
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Unblockable(error) => Self::conflict(error.to_string()),
            DecideError::Store(error) => error.into(),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}
