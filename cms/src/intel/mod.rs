//! Threat intelligence: who is asked about a file's checksum, when, and how often.
//!
//! A look-up's way: the store's queue -> [`engine`] (priority, batches, pace) -> a [`provider`] -> the allowlist, which keeps the answer
//! and marks the files. Only checksums leave. A failure is not an answer and is never stored as one.

pub mod chance;
pub mod engine;
pub mod failure;
pub mod lifetime;
pub mod pace;
pub mod provider;
pub mod reversinglabs;
pub mod secret;
pub mod settings;
pub mod tally;

pub use engine::{Control, Engine};
pub use failure::{Failure, FailureKind};
pub use provider::{Item, LookUp, NotConfigured, Outcome, Provider};
pub use settings::{ProviderChoice, Settings, SettingsError};
pub use tally::{Health, Tally};
