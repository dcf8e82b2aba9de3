//! From lists, evidence and the last verdict to the subject the policy crate judges.
//!
//! The policy speaks for the profile. A verdict adds what is known of this one file here: threat intelligence's answer, a deny, or an
//! allow on this host alone. A verdict this program does not wholly understand can deny and never allow.

use doorward_policy::reputation::TRUST_FACTOR_MAX;
use doorward_policy::{
    Answer, Class, Closure, Evidence, Facts, Fit, Listed, NoAnswer, Reputation, Scope, Sha256, Status, Subject, is_boot_package,
};
use doorward_proto::snapshot::{FileListing, Policy};
use doorward_proto::uplink::{Verdict, VerdictDecision};

/// Threat scores below this carry no threat level; a score is 5 plus the level.
const SCORE_BASE: u8 = 5;

/// Whether a file stands where what the host cannot do without does. A claim until package evidence that matches, or the file's
/// digest in the signed policy, proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClosureClaim {
    /// It does not. Files of packages that hosts cannot do without by name belong there all the same.
    Outside,
    /// In the wider boot closure: shell, remote access, package manager and the libraries of all of them.
    Boot,
    /// In the unblockable closure: PID 1, the ELF loader, the agent.
    Member,
}

pub(super) fn subject(policy: &Policy, verdict: Option<&Verdict>, file: &Sha256, evidence: &Evidence, claim: ClosureClaim) -> Subject {
    let listing = policy.lookup_file(file);
    let package = evidence.package.as_ref().map(|evidence| Listed {
        listing: policy.package(evidence.manager, &evidence.name, &evidence.version),
        evidence: evidence.clone(),
    });
    let publisher =
        evidence.publisher.as_ref().map(|evidence| Listed { listing: policy.publisher(&evidence.fingerprint), evidence: evidence.clone() });
    let closure = closure(&listing, evidence, claim);
    let told = Told::of(verdict);
    let facts = Facts {
        closure,
        denied_by_person: listing.denied_by_person.max(told.denied),
        package,
        publisher,
        answer: answer(listing.threat, told.answer),
    };
    Subject { facts, allowed_by_person: listing.allowed_by_person, allowed_by_rule: listing.allowed_by_rule.max(told.allowed) }
}

fn closure(listing: &FileListing, evidence: &Evidence, claim: ClosureClaim) -> Closure {
    let package = evidence.package.as_ref().filter(|package| package.fit == Fit::Match);
    let is_proven = package.is_some() || listing.closure;
    let is_named = package.is_some_and(|package| is_boot_package(package.manager, &package.name));
    match claim {
        ClosureClaim::Member if is_proven => Closure::Proven,
        ClosureClaim::Boot if is_proven => Closure::Boot,
        _ if is_named => Closure::Boot,
        _ => Closure::Outside,
    }
}

/// What a verdict tells beyond the policy.
struct Told {
    denied: Option<Scope>,
    allowed: Option<Scope>,
    answer: Answer,
}

impl Told {
    fn of(verdict: Option<&Verdict>) -> Self {
        let Some(verdict) = verdict else {
            return Self { denied: None, allowed: None, answer: Answer::None(NoAnswer::NotAsked) };
        };
        let denied = verdict.decision == VerdictDecision::Deny && verdict.status != Status::Threat || verdict.reason == "denied_by_person";
        Self {
            denied: denied.then_some(Scope::Host),
            allowed: (verdict.decision == VerdictDecision::Allow).then_some(Scope::Host),
            answer: told_answer(verdict),
        }
    }
}

/// The answer of threat intelligence behind a verdict. Factors a verdict does not carry are stood in for by ones that lead to the
/// same status reason.
fn told_answer(verdict: &Verdict) -> Answer {
    let known = |trust_factor| Answer::Reputation(Reputation { class: Class::Known, trust_factor, threat_level: None, threat_name: None });
    let threat = |class| {
        let threat_level = verdict.threat_score.and_then(|score| score.checked_sub(SCORE_BASE));
        Answer::Reputation(Reputation { class, trust_factor: None, threat_level, threat_name: verdict.threat_name.clone() })
    };
    match (verdict.status, verdict.reason.as_str()) {
        (Status::Threat, "malicious") => threat(Class::Malicious),
        // Lists are the policy's to tell, and the deny in it says why.
        (Status::Threat, "denied_by_person" | "package_not_allowed" | "publisher_not_allowed") => Answer::None(NoAnswer::NotAsked),
        // SECURITY: a reason of a later server still is a threat.
        (Status::Threat, _) => threat(Class::Suspicious),
        (Status::Safe, "known") => known(Some(TRUST_FACTOR_MAX)),
        (Status::Unverified, "known_untrusted") => known(Some(TRUST_FACTOR_MAX + 1)),
        (Status::Unverified, "known_no_trust_factor") => known(None),
        (Status::Unverified, "unknown") => {
            Answer::Reputation(Reputation { class: Class::Unknown, trust_factor: None, threat_level: None, threat_name: None })
        }
        (Status::Unverified, "not_asked_kind") => Answer::None(NoAnswer::NotAskedKind),
        (Status::Unverified, "pending") => Answer::None(NoAnswer::Pending),
        (Status::Unverified, "not_configured") => Answer::None(NoAnswer::NotConfigured),
        (Status::Unverified, "provider_error") => Answer::None(NoAnswer::ProviderError),
        (Status::Unverified, "over_budget") => Answer::None(NoAnswer::OverBudget),
        (Status::Safe | Status::Unverified, _) => Answer::None(NoAnswer::NotAsked),
    }
}

/// The policy's threat record and the verdict's answer: a threat beats anything else, the worse threat the other, and only verdicts
/// know names.
fn answer(listed: Option<Reputation>, told: Answer) -> Answer {
    let Some(listed) = listed else { return told };
    match told {
        Answer::Reputation(told) if told.is_threat() => {
            let threat_name = told.threat_name.clone();
            let worse = if (told.class, told.threat_level) > (listed.class, listed.threat_level) { told } else { listed };
            Answer::Reputation(Reputation { threat_name, ..worse })
        }
        _ => Answer::Reputation(listed),
    }
}
