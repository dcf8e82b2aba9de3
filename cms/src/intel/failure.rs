//! Why a provider gave no answer. A failure is never an answer and never stored as one: it only decides when to ask again.

use std::time::Duration;

use serde::Serialize;

/// What went wrong with a whole look-up, as far as it decides what happens next. Messages hold no credentials and no body text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no provider to ask.
    #[error("no threat-intelligence provider is configured; set [intel] provider")]
    NotConfigured,
    /// The provider refused the credentials. Asking again may lock the account.
    #[error("{host} refused the credentials (HTTP 401); check [intel] user and password_file")]
    Unauthorized {
        /// Host and port that answered.
        host: String,
    },
    /// The account may not use the API, or its quota ended.
    #[error("{host} refuses this account (HTTP 403); check that it is entitled to file reputation (TCA-0101)")]
    Forbidden {
        /// Host and port that answered.
        host: String,
    },
    /// What answered is not the API, or not at this address.
    #[error("{host} does not serve the bulk query (HTTP {status}); check [intel] urls")]
    Misconfigured {
        /// Host and port that answered.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// Every single hash of a batch was refused, so it is not the hashes.
    #[error("{host} refuses every query as malformed (HTTP {status})")]
    Rejected {
        /// Host and port that answered.
        host: String,
        /// The HTTP status.
        status: u16,
    },
    /// Too many requests, or the quota is used up.
    #[error("{host} asks to slow down (HTTP 429)")]
    RateLimited {
        /// Host and port that answered.
        host: String,
        /// How long to wait, when the provider said.
        retry_after: Option<Duration>,
    },
    /// The provider or the way to it is down; asking again is right.
    #[error("{host} cannot be asked: {what}")]
    Unavailable {
        /// Host and port that was tried last.
        host: String,
        /// The HTTP status or the chain of causes.
        what: String,
    },
    /// No whole answer in time.
    #[error("{host} did not answer in time")]
    TimedOut {
        /// Host and port that was tried last.
        host: String,
    },
    /// Something answered that is not an answer: a web page, a cut or an oversized body.
    #[error("{host} did not answer the question: {what}")]
    BadAnswer {
        /// Host and port that answered.
        host: String,
        /// What is wrong with it, in words of this program.
        what: String,
    },
}

/// A failure's word for counters, look-up rows and the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// See [`Failure::NotConfigured`].
    NotConfigured,
    /// See [`Failure::Unauthorized`].
    Unauthorized,
    /// See [`Failure::Forbidden`].
    Forbidden,
    /// See [`Failure::Misconfigured`].
    Misconfigured,
    /// See [`Failure::Rejected`].
    Rejected,
    /// See [`Failure::RateLimited`].
    RateLimited,
    /// See [`Failure::Unavailable`].
    Unavailable,
    /// See [`Failure::TimedOut`].
    TimedOut,
    /// See [`Failure::BadAnswer`].
    BadAnswer,
    /// One hash came back neither answered nor refused.
    Missing,
    /// One hash was refused as ill-formed.
    InvalidHash,
}

impl FailureKind {
    /// Every kind, for counters.
    pub const ALL: [Self; 11] = [
        Self::NotConfigured,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Misconfigured,
        Self::Rejected,
        Self::RateLimited,
        Self::Unavailable,
        Self::TimedOut,
        Self::BadAnswer,
        Self::Missing,
        Self::InvalidHash,
    ];

    /// The snake_case word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Misconfigured => "misconfigured",
            Self::Rejected => "rejected",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::BadAnswer => "bad_answer",
            Self::Missing => "missing",
            Self::InvalidHash => "invalid_hash",
        }
    }
}

impl Failure {
    /// The failure's word.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::NotConfigured => FailureKind::NotConfigured,
            Self::Unauthorized { .. } => FailureKind::Unauthorized,
            Self::Forbidden { .. } => FailureKind::Forbidden,
            Self::Misconfigured { .. } => FailureKind::Misconfigured,
            Self::Rejected { .. } => FailureKind::Rejected,
            Self::RateLimited { .. } => FailureKind::RateLimited,
            Self::Unavailable { .. } => FailureKind::Unavailable,
            Self::TimedOut { .. } => FailureKind::TimedOut,
            Self::BadAnswer { .. } => FailureKind::BadAnswer,
        }
    }

    /// Another host of the same provider may do better: the trouble lies with this host or the way to it, not with the account.
    #[must_use]
    pub const fn concerns_host_only(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::TimedOut { .. } | Self::BadAnswer { .. })
    }

    /// Only a person can mend it, so asking on would be noise at best and lock the account at worst.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        matches!(self, Self::NotConfigured | Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::Misconfigured { .. })
    }
}
