//! `incident`: what a person should see.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::Session;
use super::failure::Failure;
use super::output::sentence;
use super::table::{Facts, Table};
use super::terminal::{count, json_block};
use super::time::{both, relative};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List incidents, newest first
    List {
        /// Only those nobody closed
        #[arg(long)]
        open: bool,
        /// Rows at most
        #[arg(long)]
        limit: Option<u32>,
        /// Where the page before ended
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Show one incident
    Show {
        /// As `incident list` shows it
        id: Uuid,
    },
    /// Close an incident somebody has seen to
    Acknowledge {
        /// As `incident list` shows it
        id: Uuid,
        /// Why
        #[arg(long)]
        comment: Option<String>,
    },
}

#[derive(Deserialize)]
struct Incident {
    id: String,
    kind: String,
    sha256: Option<String>,
    host: Option<String>,
    summary: String,
    paths: Vec<String>,
    count: u64,
    first_at: i64,
    last_at: i64,
    state: String,
    closed_at: Option<i64>,
    closed_by: Option<String>,
    comment: Option<String>,
    detail: serde_json::Value,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        match self {
            Self::List { open, limit, after } => {
                let mut query = super::paging(limit, after);
                query.extend(open.then(|| ("open", "true".to_owned())));
                let answer = session.client.get(&["incidents"], &query).await?;
                session.output.page(answer, |rows| list(rows, open, now))
            }
            Self::Show { id } => {
                let answer = session.client.get(&["incidents", &id.to_string()], &[]).await?;
                session.output.show(answer, |incident| show(&incident, now))
            }
            Self::Acknowledge { id, comment } => {
                let body = json!({"comment": comment});
                let answer = session.client.post(&["incidents", &id.to_string(), "acknowledge"], &body).await?;
                session.output.show(answer, |incident: Incident| {
                    let by = incident.closed_by.unwrap_or_default();
                    sentence(format!("incident {id} is closed by {by}; if it happens again, another one opens"))
                })
            }
        }
    }
}

fn list(rows: &[Incident], open: bool, now: i64) -> String {
    let mut table = Table::new(["LAST", ">TIMES", "STATE", "KIND", "WHAT", "ID"]);
    for row in rows {
        let kind = row.kind.to_uppercase();
        table.row([relative(row.last_at, now), count(row.count), row.state.clone(), kind, row.summary.clone(), row.id.clone()]);
    }
    table.or(if open { "no incident is open" } else { "there are no incidents" })
}

fn show(incident: &Incident, now: i64) -> String {
    let closed = incident.closed_at.map(|at| {
        let by = incident.closed_by.as_deref().unwrap_or("nobody");
        format!("{} by {by}", both(at, now))
    });
    let next = incident.sha256.as_ref().map(|file| format!("doorward-cms file show {file}"));
    Facts::default()
        .add("what", incident.summary.clone())
        .add("kind", incident.kind.to_uppercase())
        .add("id", incident.id.clone())
        .maybe("file", incident.sha256.clone())
        .maybe("paths", (!incident.paths.is_empty()).then(|| incident.paths.join(", ")))
        .maybe("host", incident.host.clone())
        .add("times", count(incident.count))
        .add("first", both(incident.first_at, now))
        .add("last", both(incident.last_at, now))
        .add("state", incident.state.clone())
        .maybe("closed", closed)
        .maybe("comment", incident.comment.clone())
        .maybe("see also", next)
        .text()
        + "\n"
        + &json_block(&incident.detail)
        + "\n"
}
