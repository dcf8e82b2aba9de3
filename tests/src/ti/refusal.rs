//! The ways a question ends without an answer, and the HTTP status of each.
//!
//! The provider does not document the bodies of its errors, so these are short plain text that no client should parse.

use axum::http::StatusCode;

/// A question that gets no `rl` body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("credentials are missing or wrong")]
    Unauthorized,
    #[error("this account is not entitled to this API")]
    Forbidden,
    #[error("no such endpoint")]
    NotFound,
    #[error("this endpoint answers {allow} only")]
    MethodNotAllowed { allow: &'static str },
    /// The client's bug: retrying it as it is cannot help.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// More hashes than one request may hold; what the live service answers is not documented, so it is a setting.
    #[error("too many hashes in one request")]
    TooManyHashes { status: StatusCode },
    /// The request body was cut, too slow or above its bound.
    #[error("the request body was not read: {0}")]
    Unreadable(String),
    #[error("the quota is used up")]
    QuotaUsedUp,
    /// Ordered by the test through the control plane.
    #[error("a fault ordered by the test")]
    Ordered { status: StatusCode, retry_after_s: Option<u32> },
}

impl Refusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unreadable(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::QuotaUsedUp => StatusCode::TOO_MANY_REQUESTS,
            Self::TooManyHashes { status } | Self::Ordered { status, .. } => *status,
        }
    }

    /// The header that belongs to the status, if one does.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::MethodNotAllowed { allow } => vec![("allow", (*allow).to_owned())],
            Self::Ordered { retry_after_s: Some(seconds), .. } => vec![("retry-after", seconds.to_string())],
            _ if self.status() == StatusCode::UNAUTHORIZED => {
                vec![("www-authenticate", "Basic realm=\"TitaniumCloud\"".to_owned())]
            }
            _ => Vec::new(),
        }
    }
}
