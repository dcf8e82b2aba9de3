//! What is said over the socket. A request is one JSON object on one line; so is every answer.

use std::time::Duration;

use doorward_policy::PathBytes;
use serde::{Deserialize, Serialize};

use super::status::Status;
use super::trust::{Chain, TrustStatus, Unsigned};
use super::why::Why;
use crate::scan::{Reading, Summary};
use crate::trust::Witnessed;
use crate::trust::ledger::Occasion;

/// Bytes of a request's line, its newline included: a path of 4095 bytes, all of them escaped twice over, fits.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an answer's line that a client takes.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the daemon is.
    Status,
    /// Why the open file that comes along may run or not.
    Why {
        /// The path the caller used, for showing when the daemon cannot prove a better one.
        path: PathBytes,
    },
    /// A scan whose findings are reported to the CMS. For root alone.
    Scan {
        /// Path prefixes; empty for everything.
        paths: Vec<PathBytes>,
    },
    /// An archive of a package, which comes along open: its files are vouched for when a signed index lists it. For root alone.
    Witness {
        /// On which occasion.
        occasion: Occasion,
    },
    /// No more archives come for now; what was learnt is put on disk. For root alone.
    WitnessEnd {
        /// On which occasion.
        occasion: Occasion,
    },
    /// The chain behind the open file that comes along.
    TrustShow {
        /// The path the caller used.
        path: PathBytes,
    },
    /// How much signed archives vouch for. For root alone: it reads all indexes.
    TrustStatus,
    /// Packages whose archive was not read.
    TrustUnsigned,
}

impl Request {
    /// Whether only root may ask this.
    #[must_use]
    pub const fn is_for_root(&self) -> bool {
        matches!(self, Self::Scan { .. } | Self::Witness { .. } | Self::WitnessEnd { .. } | Self::TrustStatus)
    }
}

/// What the daemon answers. A scan answers with any number of [`Answer::Progress`] first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Why`].
    Why(Box<Why>),
    /// Where a scan stands: the counts of its outcome so far.
    Progress(ScanCounts),
    /// What a scan found.
    Scan(ScanOutcome),
    /// To [`Request::Witness`].
    Witness(Witnessed),
    /// To [`Request::WitnessEnd`].
    Done,
    /// To [`Request::TrustShow`].
    Chain(Box<Chain>),
    /// To [`Request::TrustStatus`].
    TrustStatus(Box<TrustStatus>),
    /// To [`Request::TrustUnsigned`].
    TrustUnsigned(Vec<Unsigned>),
    /// The request was not answered.
    Error(Refusal),
}

/// Counts of a scan under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Files looked at.
    pub files: u64,
    /// Files to look at as far as known; `None` while unknown.
    pub files_expected: Option<u64>,
    /// Candidates among them.
    pub candidates: u64,
    /// Bytes of all files met.
    pub bytes: u64,
    /// Bytes that had to be read.
    pub digested_bytes: u64,
    /// Candidates that nothing settles.
    pub unresolved: u64,
}

/// The outcome of a scan, as `scan --json` prints it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScanOutcome {
    /// Files looked at.
    pub files: u64,
    /// Candidates among them.
    pub candidates: u64,
    /// Bytes of all files met.
    pub bytes: u64,
    /// Candidates that had to be read.
    pub digested_files: u64,
    /// Bytes that had to be read.
    pub digested_bytes: u64,
    /// Candidates a package settled.
    pub package_trusted: u64,
    /// Candidates settled otherwise.
    pub otherwise_trusted: u64,
    /// Candidates that nothing settles.
    pub unresolved: u64,
    /// Files and folders that were not looked at, by the reason's word.
    pub skipped: std::collections::BTreeMap<String, u64>,
    /// How long it took.
    pub seconds: f64,
    /// The most memory the process ever had, in MiB.
    pub peak_rss_mib: f64,
    /// It ended before everything was looked at.
    pub stopped: bool,
}

impl ScanCounts {
    /// What a running scan counted so far.
    #[must_use]
    pub fn of(reading: &Reading) -> Self {
        Self {
            files: reading.files,
            files_expected: (reading.files_expected > 0).then_some(reading.files_expected),
            candidates: reading.candidates,
            bytes: reading.bytes,
            digested_bytes: reading.digested_bytes,
            unresolved: reading.unresolved,
        }
    }
}

impl ScanOutcome {
    /// What a scan came to, how long it took, and the most memory its process ever had.
    #[must_use]
    pub fn of(summary: &Summary, elapsed: Duration, peak_rss_mib: f64) -> Self {
        let counts = &summary.counts;
        Self {
            files: counts.files,
            candidates: counts.candidates,
            bytes: counts.bytes,
            digested_files: counts.digested_files,
            digested_bytes: counts.digested_bytes,
            package_trusted: counts.package_trusted,
            otherwise_trusted: counts.otherwise_trusted,
            unresolved: counts.unresolved,
            skipped: summary.skipped_by_word().into_iter().map(|(word, count)| (word.to_owned(), count)).collect(),
            seconds: elapsed.as_secs_f64(),
            peak_rss_mib,
            stopped: summary.stopped,
        }
    }
}

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: what, why, and what to do.
    pub message: String,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Not a request, or too long.
    Malformed,
    /// Only root may ask this.
    NotPermitted,
    /// Too many requests at once; ask again.
    Busy,
    /// The file that came along cannot be judged.
    Unreadable,
    /// The daemon tried and failed.
    Failed,
}

impl Refusal {
    /// A refusal with its sentence.
    #[must_use]
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
