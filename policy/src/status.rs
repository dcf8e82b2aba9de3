//! What people see of a file: threat, safe or unverified, always with the reason.
//! Derived from facts alone. An allow, by whomever, is not among them: a person may run a threat, but not rename it.

use serde::{Deserialize, Serialize};

use crate::{Answer, Class, Facts, NoAnswer, TrustRules};

/// The three words people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Malicious, suspicious, or of something explicitly not allowed.
    Threat,
    /// Known good by TI or by its source.
    Safe,
    /// Nobody vouches for it.
    Unverified,
}

/// Why a file has its status. Codes are stable: they stand in stores, on the wire and in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusReason {
    /// Threat: a person denied the file.
    DeniedByPerson,
    /// Threat: its package is explicitly not allowed.
    PackageNotAllowed,
    /// Threat: its publisher is explicitly not allowed.
    PublisherNotAllowed,
    /// Threat: TI says malicious.
    Malicious,
    /// Threat: TI says suspicious.
    Suspicious,
    /// Safe: part of the unblockable closure.
    Closure,
    /// Safe: TI knows it from a trusted source.
    Known,
    /// Safe: package evidence settles it.
    Package,
    /// Safe: publisher evidence settles it.
    Publisher,
    /// Unverified: a package brought other content to this path, and somebody changed it since.
    Modified,
    /// Unverified: TI knows it, from a source not trusted enough.
    KnownUntrusted,
    /// Unverified: TI knows it and did not say how far its source is trusted.
    KnownNoTrustFactor,
    /// Unverified: TI does not know it.
    Unknown,
    /// Unverified: TI was not asked.
    NotAsked,
    /// Unverified: TI was not asked, because the file is of a kind it can never know.
    NotAskedKind,
    /// Unverified: the answer is still to come.
    Pending,
    /// Unverified: no TI provider is configured.
    NotConfigured,
    /// Unverified: the provider failed.
    ProviderError,
    /// Unverified: the host used up its look-up budget.
    OverBudget,
}

/// A status with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// The word people see.
    pub status: Status,
    /// Why.
    pub reason: StatusReason,
}

impl StatusReason {
    /// The status this reason is a reason for.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::DeniedByPerson | Self::PackageNotAllowed | Self::PublisherNotAllowed | Self::Malicious | Self::Suspicious => {
                Status::Threat
            }
            Self::Closure | Self::Known | Self::Package | Self::Publisher => Status::Safe,
            Self::Modified
            | Self::KnownUntrusted
            | Self::KnownNoTrustFactor
            | Self::Unknown
            | Self::NotAsked
            | Self::NotAskedKind
            | Self::Pending
            | Self::NotConfigured
            | Self::ProviderError
            | Self::OverBudget => Status::Unverified,
        }
    }
}

/// Derives a file's status from what is known of it; the worst news wins, even over the unblockable closure.
#[must_use]
pub fn status(rules: &TrustRules, facts: &Facts) -> Standing {
    let reason = threat_reason(facts).or_else(|| safe_reason(rules, facts)).unwrap_or_else(|| unverified_reason(facts));
    Standing { status: reason.status(), reason }
}

/// 0..=10 for what TI calls a threat: 5 plus its threat level, 5 when it gave none. `None` for everything else.
#[must_use]
pub fn threat_score(answer: &Answer) -> Option<u8> {
    let reputation = answer.reputation().filter(|reputation| reputation.is_threat())?;
    Some(5 + reputation.threat_level.unwrap_or(0).min(crate::reputation::FACTOR_MAX))
}

fn threat_reason(facts: &Facts) -> Option<StatusReason> {
    let by_list = [
        (facts.denied_by_person.is_some(), StatusReason::DeniedByPerson),
        (facts.is_of_denied_package(), StatusReason::PackageNotAllowed),
        (facts.is_of_denied_publisher(), StatusReason::PublisherNotAllowed),
    ];
    // The closure cannot be denied by a list, so a list's word does not make it a threat either; TI's does.
    let listed = by_list.into_iter().find(|(applies, _)| *applies && !facts.is_unblockable()).map(|(_, reason)| reason);
    listed.or_else(|| match facts.answer.reputation()?.class {
        Class::Malicious => Some(StatusReason::Malicious),
        Class::Suspicious => Some(StatusReason::Suspicious),
        Class::Known | Class::Unknown => None,
    })
}

fn safe_reason(rules: &TrustRules, facts: &Facts) -> Option<StatusReason> {
    let reasons = [
        (facts.is_unblockable(), StatusReason::Closure),
        (facts.answer.reputation().is_some_and(crate::Reputation::is_trusted), StatusReason::Known),
        (facts.package.as_ref().is_some_and(|package| rules.accepts_package(&package.evidence, package.listing)), StatusReason::Package),
        (
            facts.publisher.as_ref().is_some_and(|publisher| rules.accepts_publisher(&publisher.evidence, publisher.listing)),
            StatusReason::Publisher,
        ),
    ];
    reasons.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
}

fn unverified_reason(facts: &Facts) -> StatusReason {
    match &facts.answer {
        // What TI says of the content, or does not, matters less than that it is not the package's.
        _ if facts.is_modified() => StatusReason::Modified,
        Answer::Reputation(reputation) => match (reputation.class, reputation.trust_factor) {
            (Class::Known, None) => StatusReason::KnownNoTrustFactor,
            (Class::Known, Some(_)) => StatusReason::KnownUntrusted,
            _ => StatusReason::Unknown,
        },
        Answer::None(NoAnswer::NotAsked) => StatusReason::NotAsked,
        Answer::None(NoAnswer::NotAskedKind) => StatusReason::NotAskedKind,
        Answer::None(NoAnswer::Pending) => StatusReason::Pending,
        Answer::None(NoAnswer::NotConfigured) => StatusReason::NotConfigured,
        Answer::None(NoAnswer::ProviderError) => StatusReason::ProviderError,
        Answer::None(NoAnswer::OverBudget) => StatusReason::OverBudget,
    }
}
