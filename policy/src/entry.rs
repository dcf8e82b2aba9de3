//! Decisions on files and sources: where they hold and who made them.

use serde::{Deserialize, Serialize};

/// Where an entry holds. Wider scopes are larger: a host's own allow reaches one machine, a global one all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One host alone, as an automatic allow of something first met by an execution.
    Host,
    /// All hosts of one profile.
    Profile,
    /// All hosts of all profiles.
    Global,
}

/// What was decided on a file in a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Listed, and nobody decided yet.
    Undecided,
    /// May run.
    Allowed,
    /// May not run.
    Denied,
}

/// Whose decision it is. A rule never overwrites a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// An automatic allow by the profile's settings.
    Rule,
    /// A human being, by name, or a program acting with that person's token.
    Person,
}
