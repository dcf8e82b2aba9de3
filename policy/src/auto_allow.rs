//! The profile's auto-allowlist settings: which files are allowed without a person, and how far that allow reaches.
//! A threat is never allowed here, nothing is allowed on an error, and a person's entry is never touched.

use serde::{Deserialize, Serialize};

use crate::reputation::TRUST_FACTOR_MAX;
use crate::{Answer, Class, Scope, Status};

/// When files TI does not know are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowUnknown {
    /// Never.
    #[default]
    Never,
    /// When the profile's reference scan found them.
    ReferenceScan,
    /// As above, and when an execution brought them in, then on that host alone.
    ReferenceScanAndExec,
}

/// A profile's auto-allowlist settings. `allow_new_publishers` and `allow_new_packages` are in [`crate::TrustRules`],
/// because hosts judge by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoAllowSettings {
    /// Allow files TI knows with a trust factor of at most this (0..=2); `None` switches it off.
    pub allow_safe: Option<u8>,
    /// When files TI does not know are allowed.
    pub allow_unknown: AllowUnknown,
}

impl Default for AutoAllowSettings {
    fn default() -> Self {
        Self { allow_safe: Some(TRUST_FACTOR_MAX), allow_unknown: AllowUnknown::Never }
    }
}

/// How a file was met, as far as automatic allowing cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Met {
    /// By a scan the CMS asked for by id, on the profile's reference host.
    ReferenceScan,
    /// By any other scan; earns nothing for files TI does not know.
    Scan,
    /// By an execution or a load.
    Exec,
}

/// A file that might be allowed automatically.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its status, lists included.
    pub status: Status,
    /// What TI says.
    pub answer: &'a Answer,
    /// How it was met.
    pub met: Met,
    /// The folder it was met in can be written by somebody other than root.
    pub user_writable_folder: bool,
    /// A person decided on it, in any scope that applies.
    pub decided_by_person: bool,
}

/// The setting that allowed a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoAllow {
    /// TI knows it and trusts its source enough.
    Safe,
    /// TI does not know it; the reference scan found it.
    UnknownInReferenceScan,
    /// TI does not know it; an execution brought it in.
    UnknownInExec,
}

impl AutoAllow {
    /// How far the allow reaches.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Safe | Self::UnknownInReferenceScan => Scope::Profile,
            Self::UnknownInExec => Scope::Host,
        }
    }
}

/// Whether the settings allow the file, and by which of them.
#[must_use]
pub fn auto_allow(settings: &AutoAllowSettings, candidate: &Candidate<'_>) -> Option<AutoAllow> {
    if candidate.decided_by_person || candidate.status == Status::Threat {
        return None;
    }
    let reputation = candidate.answer.reputation()?;
    match reputation.class {
        Class::Known => {
            let threshold = settings.allow_safe?.min(TRUST_FACTOR_MAX);
            (reputation.trust_factor? <= threshold).then_some(AutoAllow::Safe)
        }
        Class::Unknown if candidate.user_writable_folder => None,
        Class::Unknown => match (settings.allow_unknown, candidate.met) {
            (AllowUnknown::ReferenceScan | AllowUnknown::ReferenceScanAndExec, Met::ReferenceScan) => {
                Some(AutoAllow::UnknownInReferenceScan)
            }
            (AllowUnknown::ReferenceScanAndExec, Met::Exec) => Some(AutoAllow::UnknownInExec),
            _ => None,
        },
        Class::Suspicious | Class::Malicious => None,
    }
}
