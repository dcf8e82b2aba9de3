//! `change`: what was changed in a profile's policy, newest first.

use clap::Subcommand;
use serde::Deserialize;

use super::Session;
use super::failure::Failure;
use super::table::Table;
use super::time::relative;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List changes of a profile's policy, those of the global scope among them
    List {
        /// The profile, or `global`
        profile: String,
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
    id: i64,
    owner: String,
    key: String,
    record: String,
    change: String,
    actor: String,
    at: i64,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        let Self::List { profile, limit, after } = self;
        let answer = session.client.get(&["profiles", &profile, "changes"], &super::paging(limit, after)).await?;
        session.output.page(answer, |rows: &[Row]| {
            let mut table = Table::new([">ID", "WHEN", "BY", "SCOPE", "CHANGE", "RECORD", "KEY"]);
            for row in rows {
                let when = relative(row.at, now);
                let [actor, owner, change] = [&row.actor, &row.owner, &row.change].map(String::clone);
                table.row([row.id.to_string(), when, actor, owner, change, row.record.clone(), row.key.clone()]);
            }
            table.or(&format!("the policy of {profile} never changed"))
        })
    }
}
