//! `intel`: how threat intelligence fares, and asking it again.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use doorward_policy::Sha256;
use serde::Deserialize;
use serde_json::json;

use super::Session;
use super::failure::Failure;
use super::output::sentence;
use super::stats::failures;
use super::table::Facts;
use super::terminal::count;
use super::time::both;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who is asked, how that goes, and what waits
    Status,
    /// Ask again at once, although the answers are still fresh
    Recheck(Which),
}

/// What is to be asked again.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// One file, by its SHA-256
    file: Option<Sha256>,
    /// Every file met in this profile
    #[arg(long)]
    profile: Option<String>,
    /// Every file
    #[arg(long)]
    all: bool,
}

#[derive(Deserialize)]
struct Intel {
    provider: String,
    health: Health,
    requests: u64,
    hashes: u64,
    unknown_statuses: u64,
    errors: BTreeMap<String, u64>,
    lookups_queued: u64,
    lookups_done: u64,
}

#[derive(Deserialize)]
struct Health {
    state: String,
    reason: Option<String>,
    retry_at: Option<i64>,
}

#[derive(Deserialize)]
struct Queued {
    queued: u64,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        match self {
            Self::Status => {
                let answer = session.client.get(&["intel"], &[]).await?;
                session.output.show(answer, |intel| status(&intel, now))
            }
            Self::Recheck(which) => {
                let body = match (which.file, which.profile) {
                    (Some(file), _) => json!({"file": file}),
                    (None, Some(profile)) => json!({"profile": profile}),
                    (None, None) => json!({"all": true}),
                };
                let answer = session.client.post(&["intel", "recheck"], &body).await?;
                session.output.show(answer, |Queued { queued }| match queued {
                    0 => sentence("nothing to ask: no such question is known, or it is being asked right now"),
                    1 => sentence("1 file is asked about again"),
                    queued => sentence(format!("{} files are asked about again", count(queued))),
                })
            }
        }
    }
}

fn status(intel: &Intel, now: i64) -> String {
    Facts::default()
        .add("provider", intel.provider.clone())
        .add("state", intel.health.state.replace('_', " "))
        .maybe("because", intel.health.reason.clone())
        .maybe("next try", intel.health.retry_at.map(|at| both(at, now)))
        .add("look-ups", format!("{} answered, {} queued", count(intel.lookups_done), count(intel.lookups_queued)))
        .add("requests", format!("{} for {} checksums since the server started", count(intel.requests), count(intel.hashes)))
        .maybe("failures", failures(&intel.errors))
        .maybe("odd answers", (intel.unknown_statuses > 0).then(|| count(intel.unknown_statuses)))
        .text()
}
