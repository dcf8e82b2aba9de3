//! The judge: nine rows, the first that matches decides. Total and pure; what the kernel is told comes from [`crate::respond()`].

use serde::{Deserialize, Serialize};

use crate::{Subject, TrustRules};

/// What was judged, before mode and maintenance have a say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// May run.
    Allow,
    /// May not run.
    Deny,
    /// Nothing settles it.
    Undecided,
}

/// The row that decided, in the order rows are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// 1: the unblockable closure, or the wider one against a list.
    Closure,
    /// 2: a person denied the file.
    DeniedByPerson,
    /// 3: a person allowed the file.
    AllowedByPerson,
    /// 4: its package is explicitly not allowed.
    PackageNotAllowed,
    /// 4: its publisher is explicitly not allowed.
    PublisherNotAllowed,
    /// 5: TI calls it malicious or suspicious.
    Threat,
    /// 6: a published automatic allow.
    AllowedByRule,
    /// 7: package evidence.
    Package,
    /// 8: publisher evidence.
    Publisher,
    /// 9: nothing.
    Nothing,
}

impl Row {
    /// Every row in the order of precedence.
    pub const ALL: [Self; 10] = [
        Self::Closure,
        Self::DeniedByPerson,
        Self::AllowedByPerson,
        Self::PackageNotAllowed,
        Self::PublisherNotAllowed,
        Self::Threat,
        Self::AllowedByRule,
        Self::Package,
        Self::Publisher,
        Self::Nothing,
    ];

    /// What this row decides when it matches.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Closure | Self::AllowedByPerson | Self::AllowedByRule | Self::Package | Self::Publisher => Verdict::Allow,
            Self::DeniedByPerson | Self::PackageNotAllowed | Self::PublisherNotAllowed | Self::Threat => Verdict::Deny,
            Self::Nothing => Verdict::Undecided,
        }
    }

    /// The row's number in the specification; package and publisher share row 4.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Closure => 1,
            Self::DeniedByPerson => 2,
            Self::AllowedByPerson => 3,
            Self::PackageNotAllowed | Self::PublisherNotAllowed => 4,
            Self::Threat => 5,
            Self::AllowedByRule => 6,
            Self::Package => 7,
            Self::Publisher => 8,
            Self::Nothing => 9,
        }
    }

    /// Whether the row has something to say about this file.
    #[must_use]
    pub fn matches(self, rules: &TrustRules, subject: &Subject) -> bool {
        let facts = &subject.facts;
        match self {
            Self::Closure => facts.is_unblockable(),
            Self::DeniedByPerson => facts.denied_by_person.is_some(),
            Self::AllowedByPerson => subject.allowed_by_person.is_some(),
            Self::PackageNotAllowed => facts.is_of_denied_package(),
            Self::PublisherNotAllowed => facts.is_of_denied_publisher(),
            Self::Threat => facts.answer.is_threat(),
            Self::AllowedByRule => subject.allowed_by_rule.is_some(),
            Self::Package => facts.package.as_ref().is_some_and(|package| rules.accepts_package(&package.evidence, package.listing)),
            Self::Publisher => {
                facts.publisher.as_ref().is_some_and(|publisher| rules.accepts_publisher(&publisher.evidence, publisher.listing))
            }
            Self::Nothing => true,
        }
    }
}

/// The decision and the row it came from; [`crate::explain()`] gives the whole chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Judgement {
    /// What was decided.
    pub verdict: Verdict,
    /// Which row decided.
    pub row: Row,
}

/// Judges a file. Cannot fail, block, log, allocate or read a clock.
#[must_use]
pub fn judge(rules: &TrustRules, subject: &Subject) -> Judgement {
    let row = Row::ALL.into_iter().find(|row| row.matches(rules, subject)).unwrap_or(Row::Nothing);
    Judgement { verdict: row.verdict(), row }
}
