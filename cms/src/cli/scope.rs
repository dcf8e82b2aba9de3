//! `--profile P` or `--global`: how far a decision reaches, in words and in JSON.

use clap::Args;
use serde_json::{Map, Value, json};

/// One of the two must be given: a decision whose reach was guessed would be a trap.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Scope {
    /// In this profile
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// In all profiles
    #[arg(long)]
    global: bool,
}

impl Scope {
    /// Adds the scope to a request's body.
    pub(super) fn put(&self, body: &mut Map<String, Value>) {
        match &self.profile {
            Some(profile) => body.extend([("scope".to_owned(), json!("profile")), ("profile".to_owned(), json!(profile))]),
            None => body.extend([("scope".to_owned(), json!("global"))]),
        }
    }
}

/// The scope of an answer, for a sentence.
pub(super) fn reach(profile: Option<&str>) -> String {
    profile.map_or_else(|| "all profiles".into(), |profile| format!("profile {profile}"))
}

/// What publishes the scope's drafts.
pub(super) fn publish_command(profile: Option<&str>) -> String {
    format!("doorward-cms profile publish {}", profile.unwrap_or(crate::profile::GLOBAL_NAME))
}
