//! `package` and `publisher`: what stands behind files, and decisions on it, which wait to be published.

use clap::{Args, Subcommand};
use doorward_policy::Sha256;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Session;
use super::failure::Failure;
use super::output::sentence;
use super::scope::{Scope, publish_command, reach};
use super::table::Table;
use super::terminal::count;

#[derive(Debug, Subcommand)]
pub(super) enum PackageCommand {
    /// List packages hosts hold files of, and how they are decided on
    List(Wanted),
    /// Allow a package; in force once published
    Allow(PackageDecision),
    /// Deny a package: its files become threats without asking threat intelligence; in force once published
    Deny(PackageDecision),
    /// Take a decision back; in force once published
    Reset(PackageDecision),
}

#[derive(Debug, Subcommand)]
pub(super) enum PublisherCommand {
    /// List publishers hosts hold files of, and how they are decided on
    List(Wanted),
    /// Allow a publisher; in force once published
    Allow(PublisherDecision),
    /// Deny a publisher: what it signed becomes a threat without asking threat intelligence; in force once published
    Deny(PublisherDecision),
    /// Take a decision back; in force once published
    Reset(PublisherDecision),
}

#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// As this profile decided; the global scope otherwise
    #[arg(long)]
    profile: Option<String>,
    /// Rows at most
    #[arg(long)]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PackageDecision {
    /// As its manager writes it
    name: String,
    /// Whose package
    #[arg(long, default_value = "dpkg", value_parser = ["dpkg", "rpm"])]
    manager: String,
    #[command(flatten)]
    scope: Scope,
    /// Why
    #[arg(long)]
    comment: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct PublisherDecision {
    /// Fingerprint, or a name that only one publisher has
    publisher: String,
    #[command(flatten)]
    scope: Scope,
    /// Why
    #[arg(long)]
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    manager: Option<String>,
    fingerprint: Option<String>,
    decision: String,
    draft: Option<String>,
    by: Option<String>,
    hosts: u64,
    files: u64,
    modified: u64,
}

#[derive(Deserialize)]
struct Drafted {
    kind: String,
    name: String,
    profile: Option<String>,
    decision: String,
}

impl PackageCommand {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (word, decision) = match self {
            Self::List(wanted) => return list(session, "package", wanted).await,
            Self::Allow(decision) => ("allowed", decision),
            Self::Deny(decision) => ("denied", decision),
            Self::Reset(decision) => ("undecided", decision),
        };
        let body = json!({"kind": "package", "manager": decision.manager, "name": decision.name});
        decide(session, body, word, &decision.scope, decision.comment).await
    }
}

impl PublisherCommand {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (word, decision) = match self {
            Self::List(wanted) => return list(session, "publisher", wanted).await,
            Self::Allow(decision) => ("allowed", decision),
            Self::Deny(decision) => ("denied", decision),
            Self::Reset(decision) => ("undecided", decision),
        };
        let body = match decision.publisher.parse::<Sha256>() {
            Ok(fingerprint) => json!({"kind": "publisher", "fingerprint": fingerprint}),
            Err(_) => json!({"kind": "publisher", "name": decision.publisher}),
        };
        decide(session, body, word, &decision.scope, decision.comment).await
    }
}

async fn decide(session: &mut Session<'_>, body: Value, word: &str, scope: &Scope, comment: Option<String>) -> Result<(), Failure> {
    let mut members = match body {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    scope.put(&mut members);
    members.extend([("decision".to_owned(), json!(word)), ("comment".to_owned(), json!(comment))]);
    let answer = session.client.put(&["sources", "decision"], &Value::Object(members)).await?;
    session.output.show(answer, |drafted: Drafted| {
        let Drafted { kind, name, profile, decision } = drafted;
        let (reach, publish) = (reach(profile.as_deref()), publish_command(profile.as_deref()));
        sentence(format!("{kind} {name} is drafted as {} in {reach}; in force after `{publish}`", decision.to_uppercase()))
    })
}

async fn list(session: &mut Session<'_>, kind: &str, wanted: Wanted) -> Result<(), Failure> {
    let mut query = super::paging(wanted.limit, wanted.after);
    query.push(("kind", kind.to_owned()));
    query.extend(wanted.profile.map(|profile| ("profile", profile)));
    let answer = session.client.get(&["sources"], &query).await?;
    session.output.page(answer, |rows: &[Row]| {
        let mut table = Table::new(["DECISION", "DRAFT", "BY", ">HOSTS", ">FILES", ">MODIFIED", "OF", "NAME"]);
        for row in rows {
            let of = row.manager.clone().or_else(|| row.fingerprint.clone()).unwrap_or_default();
            let draft = row.draft.as_ref().map_or_else(|| "-".into(), |draft| draft.to_uppercase());
            let decision = if row.decision == "undecided" { "-".into() } else { row.decision.to_uppercase() };
            let by = row.by.clone().unwrap_or_else(|| "-".into());
            table.row([decision, draft, by, count(row.hosts), count(row.files), count(row.modified), of, row.name.clone()]);
        }
        table.or(&format!("no host reported a {kind} yet"))
    })
}
