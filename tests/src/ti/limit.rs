//! The bounds of the simulated contract that a test may move: hashes per request and quota.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::quota::QuotaLimit;
use super::refusal::Refusal;

/// Documented: at most this many hashes in one bulk question.
pub(crate) const HASHES_PER_REQUEST_MAX: usize = 100;

/// The body of `PUT /limit`. It replaces all limits; a field left out returns to its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limit {
    /// Status for more than 100 hashes, 413 unless set to 400: the live service's choice is not documented.
    pub over_limit_status: u16,
    /// Well-formed hashes per UTC day; `None` is unlimited.
    pub quota_daily: Option<u64>,
    /// Well-formed hashes per UTC month; `None` is unlimited.
    pub quota_monthly: Option<u64>,
}

impl Default for Limit {
    fn default() -> Self {
        Self { over_limit_status: StatusCode::PAYLOAD_TOO_LARGE.as_u16(), quota_daily: None, quota_monthly: None }
    }
}

impl Limit {
    /// An error status, or the refusal would look like an answer.
    pub(crate) fn checked(self) -> anyhow::Result<Self> {
        anyhow::ensure!(
            (400..600).contains(&self.over_limit_status),
            "over_limit_status {} is not an error status (400 to 599)",
            self.over_limit_status
        );
        Ok(self)
    }

    /// Counts all items, ill-formed ones included.
    pub(crate) fn admit(&self, items: usize) -> Result<(), Refusal> {
        if items <= HASHES_PER_REQUEST_MAX {
            return Ok(());
        }
        let status = StatusCode::from_u16(self.over_limit_status).expect("checked when it was set");
        Err(Refusal::TooManyHashes { status })
    }

    pub(crate) fn quota(&self) -> QuotaLimit {
        QuotaLimit { daily: self.quota_daily, monthly: self.quota_monthly }
    }
}
