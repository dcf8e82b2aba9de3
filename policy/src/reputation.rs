//! What threat intelligence (TI) says about a file, or why it has said nothing.
//! An error is never an answer: the two are different types here, so no code can take one for the other.

use serde::{Deserialize, Serialize};

/// Highest trust factor that still makes a known file trusted; 0 is the most trusted source.
pub const TRUST_FACTOR_MAX: u8 = 2;

/// Highest value providers use for trust factors and threat levels.
pub const FACTOR_MAX: u8 = 5;

/// A provider's classification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Not in the provider's data, or nothing known either way.
    Unknown,
    /// Presumed benign; trusted only with a low trust factor.
    Known,
    /// Doubted; may later turn either way.
    Suspicious,
    /// Declared malware.
    Malicious,
}

/// One provider's answer about one file. Trust factor and threat level are 0..=5; absent when the provider left them out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reputation {
    /// The classification.
    pub class: Class,
    /// How far the file's source is trusted, 0 the most; absent never means trusted.
    pub trust_factor: Option<u8>,
    /// How bad a threat is, 5 the worst.
    pub threat_level: Option<u8>,
    /// The provider's name for the threat.
    pub threat_name: Option<String>,
}

impl Reputation {
    /// Malicious or suspicious: never run where it can be stopped.
    #[must_use]
    pub const fn is_threat(&self) -> bool {
        matches!(self.class, Class::Malicious | Class::Suspicious)
    }

    /// Known, and from a source trusted enough to be called safe.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.class == Class::Known && self.trust_factor.is_some_and(|factor| factor <= TRUST_FACTOR_MAX)
    }
}

/// Why there is no answer. None of these ever allows, denies or trusts anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoAnswer {
    /// Nobody asked: settled locally, excluded from look-ups, or not yet queued.
    NotAsked,
    /// It is of a kind that changes with every host it is made on, so that TI can never know it; the profile does not ask all the same.
    NotAskedKind,
    /// Queued or in flight.
    Pending,
    /// No provider is configured.
    NotConfigured,
    /// The provider could not be reached or refused.
    ProviderError,
    /// The host that brought the file used up its share of the look-up budget.
    OverBudget,
}

/// The state of threat intelligence for one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A stored answer, however old; staleness is the CMS's business.
    Reputation(Reputation),
    /// No answer was ever stored.
    None(NoAnswer),
}

impl Answer {
    /// The stored answer, if there is one.
    #[must_use]
    pub const fn reputation(&self) -> Option<&Reputation> {
        match self {
            Self::Reputation(reputation) => Some(reputation),
            Self::None(_) => None,
        }
    }

    /// Whether TI calls the file malicious or suspicious.
    #[must_use]
    pub fn is_threat(&self) -> bool {
        self.reputation().is_some_and(Reputation::is_threat)
    }
}
