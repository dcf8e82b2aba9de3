//! `allowlist`: a profile's files by status, threats first.

use clap::Subcommand;
use serde::Deserialize;

use super::Session;
use super::failure::Failure;
use super::file::{Decision, standing};
use super::table::Table;
use super::time::relative;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show a page of a profile's files
    Show {
        /// The profile
        profile: String,
        /// Only these
        #[arg(long, value_parser = ["threat", "safe", "unverified"])]
        status: Option<String>,
        /// Rows at most
        #[arg(long)]
        limit: Option<u32>,
        /// Where the page before ended
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
}

#[derive(Deserialize)]
struct Row {
    sha256: String,
    paths: Vec<String>,
    path_count: u64,
    hosts: u64,
    status: String,
    reason: String,
    threat_score: Option<u8>,
    decision: Option<Decision>,
    last_observed_at: i64,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        let Self::Show { profile, status, limit, after } = self;
        let mut query = super::paging(limit, after);
        query.extend(status.clone().map(|status| ("status", status)));
        let answer = session.client.get(&["profiles", &profile, "allowlist"], &query).await?;
        session.output.page(answer, |rows| text(rows, &profile, status.as_deref(), now))
    }
}

fn text(rows: &[Row], profile: &str, status: Option<&str>, now: i64) -> String {
    let mut table = Table::new(["STATUS", "REASON", "DECISION", ">HOSTS", "LAST SEEN", "SHA-256", "PATH"]);
    for row in rows {
        let path = match (row.paths.first(), row.path_count) {
            (None, _) => String::new(),
            (Some(path), 0 | 1) => path.clone(),
            (Some(path), count) => format!("{path} and {} more", count - 1),
        };
        table.row([
            standing(&row.status, row.threat_score),
            row.reason.clone(),
            row.decision.as_ref().map_or_else(|| "-".into(), Decision::short),
            row.hosts.to_string(),
            relative(row.last_observed_at, now),
            row.sha256.clone(),
            path,
        ]);
    }
    match status {
        Some(status) => table.or(&format!("profile {profile} has no {status} files")),
        None => table.or(&format!("profile {profile} has no files; `doorward-cms profile scan {profile} --host HOST` fills it")),
    }
}
