//! `file`: everything about one file, and a person's decision on it or on many.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use doorward_policy::Sha256;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Session;
use super::failure::Failure;
use super::output::sentence;
use super::scope::{Scope, reach};

mod detail;
mod many;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show everything about a file
    Show {
        /// The file
        sha256: Sha256,
        /// As this profile sees it; otherwise as the one where it stands worst
        #[arg(long)]
        profile: Option<String>,
    },
    /// Allow a file, or all that a list names, at once
    Allow(Wish),
    /// Deny a file, or all that a list names, at once
    Deny(Wish),
    /// Take decisions back, at once
    Reset(Wish),
}

#[derive(Debug, Args)]
pub(super) struct Wish {
    /// The file
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    sha256: Option<Sha256>,
    /// Every file that a list names, one SHA-256 a line, as `sha256sum` prints them; - for standard input
    #[arg(long, value_name = "LIST")]
    from: Option<PathBuf>,
    #[command(flatten)]
    scope: Scope,
    /// Why
    #[arg(long)]
    comment: Option<String>,
}

/// The decision that counts in a profile.
#[derive(Deserialize)]
pub(super) struct Decision {
    decision: String,
    scope: String,
    by: Option<String>,
    at: Option<i64>,
    comment: Option<String>,
    draft: bool,
}

#[derive(Deserialize)]
struct Decided {
    sha256: String,
    profile: Option<String>,
    decision: String,
    status: Option<String>,
    reason: Option<String>,
    threat_score: Option<u8>,
}

impl Decision {
    /// As `ALLOWED by rule (draft)`, for a column.
    pub(super) fn short(&self) -> String {
        let by = self.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
        let draft = if self.draft { " (draft)" } else { "" };
        format!("{}{by}{draft}", self.decision.to_uppercase())
    }
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        match self {
            Self::Show { sha256, profile } => {
                let query: Vec<_> = profile.map(|profile| ("profile", profile)).into_iter().collect();
                let answer = session.client.get(&["files", &sha256.to_string()], &query).await?;
                session.output.show(answer, |file| detail::text(&file, now))
            }
            Self::Allow(wish) => wish.put(session, "allowed").await,
            Self::Deny(wish) => wish.put(session, "denied").await,
            Self::Reset(wish) => wish.put(session, "undecided").await,
        }
    }
}

impl Wish {
    async fn put(self, session: &mut Session<'_>, decision: &str) -> Result<(), Failure> {
        let mut body = Map::new();
        self.scope.put(&mut body);
        body.extend([("decision".to_owned(), json!(decision)), ("comment".to_owned(), json!(self.comment))]);
        if let Some(list) = self.from {
            return many::put(session, &list, body).await;
        }
        let sha256 = self.sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
        let answer = session.client.put(&["files", &sha256, "decision"], &Value::Object(body)).await?;
        session.output.show(answer, |decided| decided_text(&decided))
    }
}

/// `THREAT 10`, `SAFE` or `UNVERIFIED`.
pub(super) fn standing(status: &str, threat_score: Option<u8>) -> String {
    let score = threat_score.map(|score| format!(" {score}")).unwrap_or_default();
    format!("{}{score}", status.to_uppercase())
}

fn decided_text(decided: &Decided) -> String {
    let done = format!("{} is {} in {}, in force now", decided.sha256, decided.decision.to_uppercase(), reach(decided.profile.as_deref()));
    let reason = decided.reason.as_deref().unwrap_or_default();
    let status = match &decided.status {
        None => "no host has met it yet".into(),
        Some(status) => format!("it is {} ({reason})", standing(status, decided.threat_score)),
    };
    let warning = if decided.decision == "allowed" && decided.status.as_deref() == Some("threat") {
        sentence("WARNING: this allows a threat. `doorward-cms file show` tells what is known of it")
    } else {
        String::new()
    };
    sentence(format!("{done}; {status}")) + &warning
}
