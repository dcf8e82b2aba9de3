//! Sources in words and columns.

use doorward_policy::Sha256;
use doorward_service::Exit;
use serde::Deserialize;
use serde_json::Value;

use super::super::failure::Failure;
use super::super::output::{Page, sentence};
use super::super::scope::{publish_command, reach};
use super::super::table::{Facts, Table};
use super::super::terminal::count;
use super::super::time::relative;

#[derive(Deserialize)]
pub(super) struct Row {
    key: Sha256,
    kind: String,
    name: String,
    manager: Option<String>,
    fingerprint: Option<String>,
    state: String,
    entries: Vec<Entry>,
    hosts: u64,
    files: u64,
    executed: u64,
    modified: u64,
    reported: u64,
    sources: Vec<String>,
    first_seen_at: Option<i64>,
    last_seen_at: Option<i64>,
}

#[derive(Deserialize)]
struct Entry {
    global: bool,
    versions: Option<String>,
    decision: String,
    draft: Option<String>,
    by: Option<String>,
    at: Option<i64>,
    comment: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    row: Row,
    asked: Asked,
    on: Page<Host>,
}

#[derive(Deserialize)]
struct Asked {
    hosts: u64,
    done: u64,
    failed: u64,
}

#[derive(Deserialize)]
struct Host {
    host: String,
    profile: String,
    evidence: Option<Value>,
    listing: String,
    files: u64,
    executed: u64,
    modified: u64,
    reported: u64,
    last_seen_at: Option<i64>,
    asked_at: Option<i64>,
    answered_at: Option<i64>,
    error: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::cli) struct Extent {
    sources: u64,
    hosts: u64,
    files: u64,
    executed: u64,
    reported: u64,
}

#[derive(Deserialize)]
pub(super) struct Drafted {
    kind: String,
    name: String,
    versions: Option<String>,
    profile: Option<String>,
    decision: String,
    draft: bool,
    extent: Extent,
}

#[derive(Deserialize)]
pub(super) struct Adopted {
    profile: String,
    adopted: u64,
}

impl Entry {
    /// `denied < 3.0.9-1`, with the scope where it is not the profile's own and what waits to be published.
    fn short(&self) -> String {
        let scope = if self.global { "global: " } else { "" };
        let versions = self.versions.as_ref().map(|versions| format!(" {versions}")).unwrap_or_default();
        match (&self.draft, self.decision.as_str()) {
            (None, decision) => format!("{scope}{}{versions}", decision.to_uppercase()),
            (Some(draft), "undecided") => format!("{scope}draft {}{versions}", draft.to_uppercase()),
            (Some(draft), decision) => format!("{scope}{}{versions}, draft {}", decision.to_uppercase(), draft.to_uppercase()),
        }
    }
}

impl Row {
    /// As commands take it.
    fn written(&self) -> String {
        match (&self.manager, &self.fingerprint) {
            (Some(manager), _) => format!("{manager}:{}", self.name),
            (None, Some(fingerprint)) => format!("publisher:{fingerprint}"),
            (None, None) => self.name.clone(),
        }
    }
}

impl Extent {
    /// `3 hosts with 120 files (12 executed), 4 files reported`
    pub(in crate::cli) fn text(&self) -> String {
        let Self { hosts, files, executed, reported, .. } = self;
        format!("{} hosts with {} files ({} executed), {} files reported", count(*hosts), count(*files), count(*executed), count(*reported))
    }

    /// As [`Self::text`], for several sources.
    pub(in crate::cli) fn of_sources(&self, noun: &str) -> String {
        format!("{} {noun} on {}", count(self.sources), self.text())
    }
}

fn dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into())
}

fn ago(at: Option<i64>, now: i64) -> String {
    dash(at.map(|at| relative(at, now)))
}

pub(super) fn table(rows: &[Row], now: i64) -> String {
    let headers =
        ["STATE", "ENTRIES", ">HOSTS", ">FILES", ">EXECUTED", ">MODIFIED", ">REPORTED", "MET", "FIRST SEEN", "LAST SEEN", "SOURCE", "NAME"];
    let mut table = Table::new(headers);
    for row in rows {
        let entries: Vec<_> = row.entries.iter().map(Entry::short).collect();
        table.row([
            row.state.to_uppercase(),
            dash(Some(entries.join("; "))),
            count(row.hosts),
            count(row.files),
            count(row.executed),
            count(row.modified),
            count(row.reported),
            dash(Some(row.sources.join(", "))),
            ago(row.first_seen_at, now),
            ago(row.last_seen_at, now),
            row.written(),
            row.name.clone(),
        ]);
    }
    table.or("no such package or publisher was seen or listed yet")
}

pub(super) fn detail(detail: &Detail, now: i64) -> String {
    let Detail { row, asked, on } = detail;
    let facts = Facts::default()
        .add(if row.kind == "package" { "package" } else { "publisher" }, row.name.clone())
        .maybe("manager", row.manager.clone())
        .maybe("fingerprint", row.fingerprint.clone())
        .add("key", row.key.to_string())
        .add("state", row.state.to_uppercase())
        .add("hosts", count(row.hosts))
        .add(
            "files",
            format!(
                "{} settled ({} executed), {} modified, {} reported",
                count(row.files),
                count(row.executed),
                count(row.modified),
                count(row.reported)
            ),
        )
        .add("met by", dash(Some(row.sources.join(", "))))
        .add("first seen", ago(row.first_seen_at, now))
        .add("last seen", ago(row.last_seen_at, now));
    let facts = match asked.hosts {
        0 => facts,
        hosts => facts.add(
            "files asked for",
            format!("{} of {} hosts reported them, {} could not", count(asked.done), count(hosts), count(asked.failed)),
        ),
    };
    let mut text = facts.text();
    let mut entries = Table::new(["ENTRY", "BY", "WHEN", "COMMENT"]);
    for entry in &row.entries {
        entries.row([entry.short(), dash(entry.by.clone()), ago(entry.at, now), dash(entry.comment.clone())]);
    }
    text.push_str(&format!("\n{}", entries.or("no list names it: it is new")));
    let mut hosts = Table::new([
        "HOST",
        "PROFILE",
        "VERSION",
        "LISTED",
        ">FILES",
        ">EXECUTED",
        ">MODIFIED",
        ">REPORTED",
        "LAST SEEN",
        "ASKED FOR FILES",
    ]);
    for host in &on.items {
        hosts.row([
            host.host.clone(),
            host.profile.clone(),
            dash(host.evidence.as_ref().and_then(|evidence| evidence["package"]["version"].as_str()).map(str::to_owned)),
            host.listing.to_uppercase(),
            count(host.files),
            count(host.executed),
            count(host.modified),
            count(host.reported),
            ago(host.last_seen_at, now),
            host.asking(now),
        ]);
    }
    text.push_str(&format!("\n{}", hosts.or("no host has it")));
    if let Some(next) = &on.next {
        text.push_str(&sentence(format!("more hosts: repeat the command with --after {next}")));
    }
    text
}

impl Host {
    fn asking(&self, now: i64) -> String {
        match (self.asked_at, self.answered_at, &self.error) {
            (None, ..) => "-".into(),
            (_, _, Some(error)) => format!("failed: {error}"),
            (_, Some(at), None) => format!("reported {}", relative(at, now)),
            (Some(at), None, None) => format!("asked {}", relative(at, now)),
        }
    }
}

pub(super) fn drafted(drafted: &Drafted) -> String {
    let Drafted { kind, name, versions, profile, decision, draft, extent } = drafted;
    let versions = versions.as_ref().map(|versions| format!(" {versions}")).unwrap_or_default();
    let (reach, publish) = (reach(profile.as_deref()), publish_command(profile.as_deref()));
    let decision = decision.to_uppercase();
    let said = match draft {
        true => format!("{kind} {name}{versions} is drafted as {decision} in {reach}; in force after `{publish}`"),
        false => format!("{kind} {name}{versions} as {decision} in {reach} would bear on"),
    };
    match draft {
        true => sentence(said) + &sentence(format!("there are {} of it", extent.text())),
        false => sentence(format!("{said} {}; nothing was changed", extent.text())),
    }
}

pub(super) fn adopted(adopted: &Adopted) -> String {
    let Adopted { profile, adopted } = adopted;
    let publish = publish_command(Some(profile));
    sentence(format!("{} packages and publishers are drafted as ALLOWED in profile {profile}; in force after `{publish}`", count(*adopted)))
}

/// The key of the only source with exactly this name.
pub(super) fn only_one(answer: Value, name: &str) -> Result<Sha256, Failure> {
    let page: Page<Row> = serde_json::from_value(answer).map_err(Failure::answer)?;
    let mut named = page.items.iter().filter(|row| row.name == name);
    match (named.next(), named.next()) {
        (Some(row), None) => Ok(row.key),
        (None, _) => Err(Failure::new(Exit::Usage, format!("no host named a publisher {name:?}; give its fingerprint"))),
        (Some(_), Some(_)) => Err(Failure::new(Exit::Usage, format!("several publishers call themselves {name:?}; give the fingerprint"))),
    }
}
