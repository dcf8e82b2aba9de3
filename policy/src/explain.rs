//! The reason chain: every row that was tried, what it found, and what would change the outcome. For people, in words.

use serde::{Deserialize, Serialize};

use crate::{Facts, Fit, Flaw, Judgement, Level, Listing, PackageEvidence, Row, StatusReason, Subject, TrustRules, Verdict, judge, status};

/// One row of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The row's number in the specification, 1..=9.
    pub number: u8,
    /// The row's code.
    pub row: Row,
    /// Whether it is the row that decided.
    pub decided: bool,
    /// What the row found, as a sentence.
    pub finding: String,
}

/// A judgement with its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The outcome.
    pub judgement: Judgement,
    /// Rows in the order they were tried, the deciding one last.
    pub steps: Vec<Step>,
    /// What a person could do to change the outcome.
    pub would_change: Vec<String>,
}

/// Judges and keeps the chain. The judgement is [`judge()`]'s own.
#[must_use]
pub fn explain(rules: &TrustRules, subject: &Subject) -> Explanation {
    let judgement = judge(rules, subject);
    let steps = Row::ALL
        .into_iter()
        .take_while(|row| *row <= judgement.row)
        .map(|row| Step { number: row.number(), row, decided: row == judgement.row, finding: finding(row, rules, subject) })
        .collect();
    Explanation { judgement, steps, would_change: would_change(rules, judgement, subject) }
}

fn finding(row: Row, rules: &TrustRules, subject: &Subject) -> String {
    let facts = &subject.facts;
    let matched = row.matches(rules, subject);
    match row {
        Row::Closure if facts.overrides_list() => {
            format!(
                "the host can be neither booted nor managed without it, and it proved what it is: {} is overridden here",
                denied_by(facts)
            )
        }
        Row::Closure if matched => "belongs to what the host cannot run without, and proved it".into(),
        Row::Closure => "not part of what the host cannot run without".into(),
        Row::DeniedByPerson if matched => "a person denied this file".into(),
        Row::DeniedByPerson => "no person denied this file".into(),
        Row::AllowedByPerson if matched => match facts.answer.is_threat() {
            true => "a person allowed this file, although threat intelligence calls it a threat".into(),
            false => "a person allowed this file".into(),
        },
        Row::AllowedByPerson => "no person allowed this file".into(),
        Row::PackageNotAllowed => source_finding("package", facts.package.as_ref().map(|package| package.listing)),
        Row::PublisherNotAllowed => source_finding("publisher", facts.publisher.as_ref().map(|publisher| publisher.listing)),
        Row::Threat => threat_finding(subject),
        Row::AllowedByRule if matched => "allowed automatically by the profile's settings".into(),
        Row::AllowedByRule => "not allowed automatically".into(),
        Row::Package => package_finding(rules, subject),
        Row::Publisher => publisher_finding(rules, subject),
        Row::Nothing => match status(rules, facts).reason {
            StatusReason::Known => "threat intelligence calls it safe, but no entry allows it".into(),
            _ => "nothing settles this file".into(),
        },
    }
}

/// The list entry that would deny the file, as it would stand in a sentence.
fn denied_by(facts: &Facts) -> String {
    if facts.denied_by_person.is_some() {
        return "a person's deny of this file".into();
    }
    let name = |name: &str| crate::PathBytes::new(name.as_bytes()).to_string();
    match (&facts.package, &facts.publisher) {
        (Some(package), _) if facts.is_of_denied_package() => format!("the deny of package {}", name(&package.evidence.name)),
        (_, Some(publisher)) => format!("the deny of publisher {}", name(&publisher.evidence.name)),
        _ => "a deny".into(),
    }
}

fn source_finding(noun: &str, listing: Option<Listing>) -> String {
    match listing {
        None => format!("no {noun} claims this file"),
        Some(Listing::Denied) => format!("its {noun} is explicitly not allowed"),
        Some(Listing::Allowed) => format!("its {noun} is allowed by name"),
        Some(Listing::Unlisted) => format!("its {noun} is on no list"),
    }
}

fn threat_finding(subject: &Subject) -> String {
    match subject.facts.answer.reputation() {
        None => "threat intelligence has said nothing about it here".into(),
        Some(reputation) => {
            let name =
                reputation.threat_name.as_ref().map(|name| format!(" ({})", crate::PathBytes::new(name.as_bytes()))).unwrap_or_default();
            format!("threat intelligence says {}{name}", class_word(reputation.class))
        }
    }
}

const fn class_word(class: crate::Class) -> &'static str {
    match class {
        crate::Class::Malicious => "malicious",
        crate::Class::Suspicious => "suspicious",
        crate::Class::Known => "known",
        crate::Class::Unknown => "unknown",
    }
}

fn package_finding(rules: &TrustRules, subject: &Subject) -> String {
    let Some(package) = &subject.facts.package else {
        return "no package owns it".into();
    };
    let evidence = &package.evidence;
    let name = crate::PathBytes::new(format!("{} {}", evidence.name, evidence.version));
    match evidence.fit {
        Fit::Modified if evidence.level == Level::Signed => {
            format!("package {name} owns this path, but its signed archive brings another file here, whatever the local database says")
        }
        Fit::Modified => format!("package {name} owns this path but lists another digest: the file was changed"),
        Fit::NoDigest => format!("package {name} owns this path and lists no digest for it"),
        Fit::Compiled if rules.package_level > Level::Database => {
            format!("compiled from a source of package {name}, which proves less than the signed archive that the profile requires")
        }
        Fit::Compiled if rules.accepts_package(evidence, package.listing) => {
            format!("compiled on this host, by root, from the source beside it, and package {name} lists exactly that source's digest")
        }
        Fit::Match if evidence.level < rules.package_level => {
            format!("package {name} lists this digest, but only its local database says so and the profile requires a signed archive")
        }
        Fit::Match if rules.accepts_package(evidence, package.listing) => format!("package {name} lists exactly this digest"),
        Fit::Match => format!("package {name} lists this digest, but it is new to the profile, which does not allow new packages"),
        Fit::Compiled => {
            format!("compiled from a source of package {name}, which is new to the profile, and that does not allow new packages")
        }
    }
}

fn publisher_finding(rules: &TrustRules, subject: &Subject) -> String {
    let Some(publisher) = &subject.facts.publisher else {
        return "no publisher signed it".into();
    };
    let evidence = &publisher.evidence;
    let name = crate::PathBytes::new(evidence.name.as_bytes());
    if rules.accepts_publisher(evidence, publisher.listing) {
        return format!("validly signed by {name}, which is allowed");
    }
    let why = match (evidence.flaw, evidence.valid, evidence.chain_trusted) {
        (Some(flaw), ..) => flaw.finding(),
        (None, false, _) => Flaw::BadSignature.finding(),
        (None, true, false) => Flaw::NoAnchor.finding(),
        (None, true, true) if evidence.public_authority && publisher.listing == Listing::Unlisted => {
            "a public authority vouches for that name and nobody here allowed it"
        }
        (None, true, true) => "that publisher is not allowed here",
    };
    format!("signed by {name}, but {why}")
}

fn would_change(rules: &TrustRules, judgement: Judgement, subject: &Subject) -> Vec<String> {
    let mut ways = Vec::new();
    match judgement.row {
        Row::Closure if subject.facts.overrides_list() => ways.push("threat intelligence turning against it; no list can".to_owned()),
        Row::Closure => ways.push("nothing: it cannot be blocked".to_owned()),
        Row::DeniedByPerson => ways.push("withdrawing the deny".to_owned()),
        Row::AllowedByPerson => ways.push("denying the file, or withdrawing the allow".to_owned()),
        Row::PackageNotAllowed => ways.push("allowing its package, or allowing this file by name".to_owned()),
        Row::PublisherNotAllowed => ways.push("allowing its publisher, or allowing this file by name".to_owned()),
        Row::Threat => ways.push("a new answer of threat intelligence, or a person allowing this file by name".to_owned()),
        Row::AllowedByRule => ways.push("denying the file, or threat intelligence turning against it".to_owned()),
        Row::Package => ways.push("denying the file or its package, or changing the file".to_owned()),
        Row::Publisher => ways.push("denying the file or its publisher".to_owned()),
        Row::Nothing => {
            if subject.facts.is_modified() {
                ways.push("reinstalling its package".to_owned());
            }
            let lacks_level = |package: &PackageEvidence| package.fit == Fit::Match && package.level < rules.package_level;
            if subject.facts.package.as_ref().is_some_and(|package| lacks_level(&package.evidence)) {
                ways.push(
                    "its package coming from a signed source (`doorward-agent trust witness` has its archive read again), or maintenance"
                        .to_owned(),
                );
            }
            ways.push("a person allowing the file by name".to_owned());
            ways.push("threat intelligence knowing it, with the profile's automatic allow of safe files".to_owned());
        }
    }
    if judgement.verdict == Verdict::Allow && judgement.row != Row::Closure && subject.facts.answer.is_threat() {
        ways.push("it runs although it is a threat: review the allow".to_owned());
    }
    ways
}
