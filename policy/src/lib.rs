//! The pure decision core and the words of Doorward.
//!
//! Everything here is a value or a total function of values: no I/O, no clock, no randomness, no locks, no tokio.
//! The agent and the CMS judge with this same code, so a verdict explained on one is the verdict made on the other.
//! The story starts in [`subject`] (what is known of a file), goes through [`judge()`] (nine rows, first match wins) and
//! ends in [`respond()`] (what the kernel is told). [`status()`] and [`auto_allow()`] stand apart from it on purpose.
#![forbid(unsafe_code)]

pub mod auto_allow;
pub mod boot;
pub mod digest;
pub mod entry;
pub mod evidence;
pub mod explain;
mod fingerprint;
pub mod flaw;
pub mod id;
pub mod interpreter;
pub mod judge;
pub mod kind;
pub mod listed_digest;
pub mod path;
pub mod reputation;
pub mod respond;
pub mod source_rule;
pub mod status;
pub mod subject;
mod text;
pub mod usage;
pub mod version;

pub use auto_allow::{AllowUnknown, AutoAllow, AutoAllowSettings, Candidate, Met, auto_allow};
pub use boot::{is_boot_package, is_boot_program};
pub use digest::{Blake3, Md5, Sha1, Sha256};
pub use entry::{Author, Decision, Scope};
pub use evidence::{
    Evidence, Fit, Level, Listing, PackageEvidence, PackageManager, PublisherEvidence, Signing, SourceKey, TrustRules, Validity,
};
pub use explain::{Explanation, Step, explain};
pub use fingerprint::{KeyFingerprint, KeyFingerprintError};
pub use flaw::Flaw;
pub use id::{HostId, ProfileId, ScanId};
pub use interpreter::Interpreter;
pub use judge::{Judgement, Row, Verdict, judge};
pub use kind::FileKind;
pub use listed_digest::{DigestAlgorithm, ListedDigest};
pub use path::PathBytes;
pub use reputation::{Answer, Class, NoAnswer, Reputation};
pub use respond::{Mode, Response, UnverifiedAction, respond};
pub use source_rule::{SourceRule, listing};
pub use status::{Standing, Status, StatusReason, status, threat_score};
pub use subject::{Closure, Facts, Listed, Subject};
pub use usage::Use;
pub use version::{RangeError, VersionRange};
