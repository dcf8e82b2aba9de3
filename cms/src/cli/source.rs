//! `source`: packages and publishers that stand behind files, and decisions on them, which wait to be published. `package` and
//! `publisher` are the same with less to write.

use clap::{Args, Subcommand};
use doorward_policy::{PackageManager, Sha256};
use doorward_service::Exit;
use serde_json::{Map, Value, json};

use super::Session;
use super::failure::Failure;
use super::scope::Scope;
use crate::store::NamedSource;

mod text;

pub(super) use text::Extent;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List packages and publishers: where they were seen, and what lists say of them
    List(Wanted),
    /// One of them: entries, hosts with versions and numbers of files, and how far hosts are with reporting them
    Show(Shown),
    /// Allow one; in force once published
    Allow(Decided),
    /// Deny one: its files become threats without asking threat intelligence, and hosts report them; in force once published
    Deny(Decided),
    /// Take a decision back, so that it is new again; in force once published
    Forget(Decided),
    /// Allow everything a host has, so that nothing of it is new; in force once published
    Adopt(Adopted),
}

#[derive(Debug, Subcommand)]
pub(super) enum PackageCommand {
    /// List packages
    List(Pages),
    /// Allow a package; in force once published
    Allow(PackageDecision),
    /// Deny a package: its files become threats without asking threat intelligence; in force once published
    Deny(PackageDecision),
    /// Take a decision back; in force once published
    Reset(PackageDecision),
}

#[derive(Debug, Subcommand)]
pub(super) enum PublisherCommand {
    /// List publishers
    List(Pages),
    /// Allow a publisher; in force once published
    Allow(PublisherDecision),
    /// Deny a publisher: what it signed becomes a threat without asking threat intelligence; in force once published
    Deny(PublisherDecision),
    /// Take a decision back; in force once published
    Reset(PublisherDecision),
}

#[derive(Debug, Args)]
pub(super) struct Pages {
    /// As this profile and its hosts have it; all hosts otherwise
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
pub(super) struct Wanted {
    #[command(flatten)]
    pages: Pages,
    /// Only these
    #[arg(long, value_parser = ["package", "publisher"])]
    kind: Option<String>,
    /// Only packages of this manager
    #[arg(long, value_parser = ["dpkg", "rpm"])]
    manager: Option<String>,
    /// Only those that lists allow, deny or do not name
    #[arg(long, value_parser = ["allowed", "denied", "new"])]
    state: Option<String>,
    /// Only those seen on this host
    #[arg(long)]
    host: Option<String>,
    /// Only those with this text in their names
    #[arg(long)]
    text: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    /// dpkg:NAME, rpm:NAME, publisher:FINGERPRINT, or a key that `--json` shows
    source: Name,
    #[command(flatten)]
    pages: Pages,
}

#[derive(Debug, Args)]
pub(super) struct Decided {
    /// dpkg:NAME, rpm:NAME, publisher:FINGERPRINT, or publisher:NAME where only one has it
    source: Name,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct PackageDecision {
    /// As its manager writes it
    name: String,
    /// Whose package
    #[arg(long, default_value = "dpkg", value_parser = ["dpkg", "rpm"])]
    manager: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct PublisherDecision {
    /// Fingerprint, or a name that only one publisher has
    publisher: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct How {
    #[command(flatten)]
    scope: Scope,
    /// Only these versions of a package: "< 3.0.9-1", ">= 2", "= 1.2-3", "[1.0, 2.0)"
    #[arg(long, value_name = "RANGE")]
    versions: Option<String>,
    /// Why
    #[arg(long)]
    comment: Option<String>,
    /// Only say what it would bear on
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Adopted {
    /// In this profile
    #[arg(long)]
    profile: String,
    /// What this host has; the profile's reference host otherwise
    #[arg(long)]
    host: Option<String>,
}

/// How a source is written on a command line.
#[derive(Debug, Clone)]
enum Name {
    Package { manager: PackageManager, name: String },
    Publisher(String),
    Key(Sha256),
}

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let package = |manager, name: &str| Self::Package { manager, name: name.to_owned() };
        match text.split_once(':') {
            Some(("dpkg", name)) if !name.is_empty() => Ok(package(PackageManager::Dpkg, name)),
            Some(("rpm", name)) if !name.is_empty() => Ok(package(PackageManager::Rpm, name)),
            Some(("publisher", name)) if !name.is_empty() => Ok(Self::Publisher(name.to_owned())),
            _ => text.parse().map(Self::Key).map_err(|_| "write dpkg:NAME, rpm:NAME or publisher:FINGERPRINT".to_owned()),
        }
    }
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(wanted) => list(session, wanted).await,
            Self::Show(shown) => shown.run(session).await,
            Self::Allow(decided) => decided.run(session, "allowed").await,
            Self::Deny(decided) => decided.run(session, "denied").await,
            Self::Forget(decided) => decided.run(session, "undecided").await,
            Self::Adopt(adopted) => adopted.run(session).await,
        }
    }
}

impl PackageCommand {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (word, PackageDecision { name, manager, how }) = match self {
            Self::List(pages) => return list_kind(session, "package", pages).await,
            Self::Allow(decision) => ("allowed", decision),
            Self::Deny(decision) => ("denied", decision),
            Self::Reset(decision) => ("undecided", decision),
        };
        let manager = if manager == "rpm" { PackageManager::Rpm } else { PackageManager::Dpkg };
        Decided { source: Name::Package { manager, name }, how }.run(session, word).await
    }
}

impl PublisherCommand {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (word, PublisherDecision { publisher, how }) = match self {
            Self::List(pages) => return list_kind(session, "publisher", pages).await,
            Self::Allow(decision) => ("allowed", decision),
            Self::Deny(decision) => ("denied", decision),
            Self::Reset(decision) => ("undecided", decision),
        };
        Decided { source: Name::Publisher(publisher), how }.run(session, word).await
    }
}

impl Name {
    /// The source's key. A publisher that is not named by its fingerprint is looked for.
    async fn key(&self, session: &mut Session<'_>) -> Result<Sha256, Failure> {
        let source = match self {
            Self::Key(key) => return Ok(*key),
            Self::Package { manager, name } => NamedSource::Package { manager: *manager, name: name.clone() },
            Self::Publisher(name) => match name.parse() {
                Ok(fingerprint) => NamedSource::Publisher { fingerprint, name: name.clone() },
                Err(_) => {
                    let query = [("kind", "publisher".to_owned()), ("text", name.clone())];
                    return text::only_one(session.client.get(&["sources"], &query).await?, name);
                }
            },
        };
        Ok(Sha256::new(source.key()))
    }

    /// As a decision names it.
    fn members(&self) -> Result<Map<String, Value>, Failure> {
        let members = match self {
            Self::Package { manager, name } => json!({"kind": "package", "manager": manager, "name": name}),
            Self::Publisher(name) => match name.parse::<Sha256>() {
                Ok(fingerprint) => json!({"kind": "publisher", "fingerprint": fingerprint}),
                Err(_) => json!({"kind": "publisher", "name": name}),
            },
            Self::Key(_) => return Err(Failure::new(Exit::Usage, "name the source: dpkg:NAME, rpm:NAME or publisher:FINGERPRINT")),
        };
        match members {
            Value::Object(members) => Ok(members),
            _ => Ok(Map::new()),
        }
    }
}

impl Shown {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let key = self.source.key(session).await?.to_string();
        let Pages { profile, limit, after } = self.pages;
        let mut query = super::paging(limit, after);
        query.extend(profile.map(|profile| ("profile", profile)));
        let answer = session.client.get(&["sources", &key], &query).await?;
        let now = session.now;
        session.output.show(answer, |detail| text::detail(&detail, now))
    }
}

impl Decided {
    async fn run(self, session: &mut Session<'_>, decision: &str) -> Result<(), Failure> {
        let How { scope, versions, comment, dry_run } = self.how;
        let mut members = self.source.members()?;
        scope.put(&mut members);
        members.extend([("decision".to_owned(), json!(decision)), ("comment".to_owned(), json!(comment))]);
        members.extend([("versions".to_owned(), json!(versions)), ("preview".to_owned(), json!(dry_run))]);
        let answer = session.client.put(&["sources", "decision"], &Value::Object(members)).await?;
        session.output.show(answer, |drafted| text::drafted(&drafted))
    }
}

impl Adopted {
    async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let body = json!({"host": self.host});
        let answer = session.client.post(&["profiles", &self.profile, "sources", "adopt"], &body).await?;
        session.output.show(answer, |adopted| text::adopted(&adopted))
    }
}

async fn list_kind(session: &mut Session<'_>, kind: &str, pages: Pages) -> Result<(), Failure> {
    list(session, Wanted { pages, kind: Some(kind.into()), manager: None, state: None, host: None, text: None }).await
}

async fn list(session: &mut Session<'_>, wanted: Wanted) -> Result<(), Failure> {
    let Wanted { pages: Pages { profile, limit, after }, kind, manager, state, host, text } = wanted;
    let mut query = super::paging(limit, after);
    let filters = [("profile", profile), ("kind", kind), ("manager", manager), ("state", state), ("host", host), ("text", text)];
    query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value?))));
    let answer = session.client.get(&["sources"], &query).await?;
    let now = session.now;
    session.output.page(answer, |rows| text::table(rows, now))
}
