//! `token`: what lets a host enroll.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::Session;
use super::failure::Failure;
use super::output::sentence;
use super::table::{Facts, Table};
use super::time::{both, relative, seconds};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token and print it; it is shown this once
    Create {
        /// Where hosts that spend it go
        #[arg(long)]
        profile: String,
        /// How many hosts may spend it
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// How long it is good for: 90s, 15m, 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
        expires: u64,
    },
    /// List tokens, spent and expired ones too
    List {
        /// Rows at most
        #[arg(long)]
        limit: Option<u32>,
        /// Where the page before ended
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Take what is left of a token's uses; hosts that spent it stay
    Revoke {
        /// As `token list` shows it
        id: Uuid,
    },
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    profile: String,
    uses: u32,
    expires_at: i64,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    profile: String,
    uses: u32,
    uses_left: u32,
    expires_at: i64,
    created_at: i64,
    created_by: String,
    revoked_at: Option<i64>,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        match self {
            Self::Create { profile, uses, expires } => {
                let body = json!({"profile": profile, "uses": uses, "expires_in_s": expires});
                let answer = session.client.post(&["tokens"], &body).await?;
                session.output.show(answer, |minted| created(&minted, now))
            }
            Self::List { limit, after } => {
                let answer = session.client.get(&["tokens"], &super::paging(limit, after)).await?;
                session.output.page(answer, |rows| list(rows, now))
            }
            Self::Revoke { id } => {
                session.client.delete(&["tokens", &id.to_string()]).await?;
                session.output.show(json!({"id": id, "revoked": true}), |_: serde_json::Value| sentence(format!("token {id} is revoked")))
            }
        }
    }
}

fn created(minted: &Minted, now: i64) -> String {
    let facts = Facts::default()
        .add("token", minted.token.clone())
        .add("profile", minted.profile.clone())
        .add("uses", minted.uses.to_string())
        .add("expires", both(minted.expires_at, now));
    facts.text() + "\nIt is shown this once. On the host: doorward-agent enroll --cms https://HOST:PORT --token TOKEN\n"
}

fn list(rows: &[Row], now: i64) -> String {
    let mut table = Table::new(["STATE", "PROFILE", ">LEFT", ">OF", "EXPIRES", "MADE", "BY", "ID"]);
    for row in rows {
        let state = match row {
            Row { revoked_at: Some(_), .. } => "revoked",
            Row { uses_left: 0, .. } => "spent",
            row if row.expires_at <= now => "expired",
            _ => "good",
        };
        let (expires, made) = (relative(row.expires_at, now), relative(row.created_at, now));
        let (left, of) = (row.uses_left.to_string(), row.uses.to_string());
        table.row([state.into(), row.profile.clone(), left, of, expires, made, row.created_by.clone(), row.id.clone()]);
    }
    table.or("there are no tokens; make one with `doorward-cms token create --profile default`")
}
