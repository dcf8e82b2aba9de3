//! One file on a screen: what it is, why it may run or not, who decided, what threat intelligence said, where it was met.

use serde::Deserialize;
use serde_json::Value;

use super::{Decision, standing};
use crate::cli::table::{Facts, Table};
use crate::cli::terminal::{count, json_block, shown, size};
use crate::cli::time::{both, relative, relative_or};

#[derive(Deserialize)]
pub(super) struct Detail {
    profile: String,
    sha256: String,
    paths: Vec<String>,
    path_count: u64,
    kind: Option<String>,
    size: Option<u64>,
    hosts: u64,
    denied_on: Vec<String>,
    status: String,
    reason: String,
    threat_score: Option<u8>,
    threat_name: Option<String>,
    decision: Option<Decision>,
    first_observed_at: i64,
    last_observed_at: i64,
    last_executed_at: Option<i64>,
    digests: Digests,
    reputation: Reputation,
    observations: Vec<Observation>,
    executions: Vec<Execution>,
    entries: Vec<Entry>,
    decisions: Vec<Decision>,
    judgement: Option<Explanation>,
    lookup: Lookup,
}

#[derive(Deserialize)]
struct Digests {
    sha1: Option<String>,
    md5: Option<String>,
    blake3: Option<String>,
}

#[derive(Deserialize)]
struct Reputation {
    current: Option<Current>,
    history: Vec<Answer>,
}

#[derive(Deserialize)]
struct Current {
    #[serde(flatten)]
    answer: Answer,
    confirmed_at: i64,
    fresh_until: i64,
    stale: bool,
}

#[derive(Deserialize)]
struct Answer {
    provider: String,
    class: String,
    trust_factor: Option<u8>,
    threat_level: Option<u8>,
    threat_name: Option<String>,
    at: i64,
    fetched_at: i64,
    raw: Value,
}

#[derive(Deserialize)]
struct Observation {
    host: String,
    path: String,
    sources: Vec<String>,
    last_observed_at: i64,
    count: u64,
    evidence: Evidence,
    layer: Option<Layer>,
    process: Option<User>,
}

#[derive(Deserialize)]
struct Layer {
    upper: bool,
}

/// Who used it last, as far as it tells where.
#[derive(Deserialize)]
struct User {
    container: Option<String>,
}

#[derive(Deserialize)]
struct Evidence {
    package: Option<Package>,
    publisher: Option<Publisher>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    fit: String,
}

#[derive(Deserialize)]
struct Publisher {
    name: String,
    valid: bool,
}

#[derive(Deserialize)]
struct Execution {
    host: String,
    path: String,
    process: Option<Process>,
    at: i64,
    count: u64,
    fate: String,
    r#use: String,
}

#[derive(Deserialize)]
struct Process {
    pid: u32,
    uid: Option<u32>,
    parent_path: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    profile: String,
    status: String,
    reason: String,
}

#[derive(Deserialize)]
struct Explanation {
    judgement: Judgement,
    steps: Vec<Step>,
    would_change: Vec<String>,
}

#[derive(Deserialize)]
struct Judgement {
    verdict: String,
}

#[derive(Deserialize)]
struct Step {
    number: u8,
    decided: bool,
    finding: String,
}

#[derive(Deserialize)]
struct Lookup {
    state: String,
    attempts: u32,
    last_error: Option<String>,
    due_at: Option<i64>,
}

pub(super) fn text(file: &Detail, now: i64) -> String {
    let mut text = head(file, now);
    text.push_str(&judgement(file));
    text.push_str(&section("DECISIONS", &decisions(file, now)));
    text.push_str(&section("THREAT INTELLIGENCE", &reputation(file, now)));
    text.push_str(&section("MET AT", &observations(file, now)));
    text.push_str(&section("RUN BY", &executions(file, now)));
    if let Some(current) = &file.reputation.current {
        text.push_str(&section("THE PROVIDER'S OWN WORDS", &(json_block(&current.answer.raw) + "\n")));
    }
    text
}

fn section(title: &str, body: &str) -> String {
    format!("\n{title}\n{body}")
}

fn head(file: &Detail, now: i64) -> String {
    let name = file.threat_name.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
    let paths = match (file.paths.as_slice(), file.path_count) {
        ([], _) => "none".into(),
        (paths, count) if count > paths.len() as u64 => format!("{} and {} more", paths.join(", "), count - paths.len() as u64),
        (paths, _) => paths.join(", "),
    };
    let elsewhere: Vec<_> = file.entries.iter().filter(|entry| entry.profile != file.profile).collect();
    let elsewhere = elsewhere.iter().map(|entry| format!("{}: {} ({})", entry.profile, entry.status.to_uppercase(), entry.reason));
    let elsewhere: Vec<_> = elsewhere.collect();
    Facts::default()
        .add("status", format!("{} ({}{name})", standing(&file.status, file.threat_score), file.reason))
        .add("profile", file.profile.clone())
        .maybe("elsewhere", (!elsewhere.is_empty()).then(|| elsewhere.join(", ")))
        .add("kind", file.kind.clone().unwrap_or_else(|| "not met yet".into()))
        .maybe("size", file.size.map(|bytes| format!("{} ({} bytes)", size(bytes), count(bytes))))
        .add("paths", paths)
        .add("hosts", count(file.hosts))
        .maybe("not allowed on", (!file.denied_on.is_empty()).then(|| file.denied_on.join(", ")))
        .add("first met", both(file.first_observed_at, now))
        .add("last met", both(file.last_observed_at, now))
        .add("last run", file.last_executed_at.map_or_else(|| "never, as far as known".into(), |at| both(at, now)))
        .add("SHA-256", file.sha256.clone())
        .maybe("SHA-1", file.digests.sha1.clone())
        .maybe("MD5", file.digests.md5.clone())
        .maybe("BLAKE3", file.digests.blake3.clone())
        .text()
}

fn judgement(file: &Detail) -> String {
    let Some(explanation) = &file.judgement else { return String::new() };
    let mut text = format!("\nJUDGEMENT: {}\n", explanation.judgement.verdict.to_uppercase());
    for step in &explanation.steps {
        let mark = if step.decided { "=>" } else { "  " };
        text.push_str(&format!("{mark} {}. {}\n", step.number, shown(&step.finding)));
    }
    for way in &explanation.would_change {
        text.push_str(&format!("   would change it: {}\n", shown(way)));
    }
    text
}

fn decisions(file: &Detail, now: i64) -> String {
    let mut table = Table::new(["DECISION", "SCOPE", "BY", "WHEN", "COMMENT"]);
    let counts = file.decision.iter().filter(|_| file.decisions.is_empty());
    for decision in file.decisions.iter().chain(counts) {
        let draft = if decision.draft { " (draft)" } else { "" };
        table.row([
            format!("{}{draft}", decision.decision.to_uppercase()),
            decision.scope.clone(),
            decision.by.clone().unwrap_or_default(),
            relative_or(decision.at, now, "-"),
            decision.comment.clone().unwrap_or_default(),
        ]);
    }
    table.or("nobody decided on it")
}

fn reputation(file: &Detail, now: i64) -> String {
    let lookup = &file.lookup;
    let error = lookup.last_error.as_ref().map(|error| format!("; failed {} times, last with {error}", lookup.attempts));
    let due = lookup.due_at.map(|at| format!("; due {}", relative(at, now))).unwrap_or_default();
    let fresh = file.reputation.current.as_ref().map(|current| {
        let word = if current.stale { "STALE since" } else { "fresh until" };
        format!("{word} {}, confirmed {}", both(current.fresh_until, now), relative(current.confirmed_at, now))
    });
    let facts = Facts::default()
        .add("look-up", format!("{}{due}{}", lookup.state.replace('_', " "), error.unwrap_or_default()))
        .maybe("answer", fresh);
    let mut table = Table::new(["TRUE AT", "KNOWN", "PROVIDER", "CLASS", ">TRUST", ">LEVEL", "THREAT"]);
    let number = |factor: Option<u8>| factor.map_or_else(|| "-".into(), |factor| factor.to_string());
    for answer in &file.reputation.history {
        table.row([
            relative(answer.at, now),
            relative(answer.fetched_at, now),
            answer.provider.clone(),
            answer.class.to_uppercase(),
            number(answer.trust_factor),
            number(answer.threat_level),
            answer.threat_name.clone().unwrap_or_default(),
        ]);
    }
    facts.text() + &table.or("no answer yet")
}

fn observations(file: &Detail, now: i64) -> String {
    let mut table = Table::new(["HOST", "LAST MET", ">TIMES", "BY", "PROOF", "PATH"]);
    for observation in &file.observations {
        table.row([
            observation.host.clone(),
            relative(observation.last_observed_at, now),
            count(observation.count),
            observation.sources.join("+"),
            observation.proof(),
            observation.path.clone(),
        ]);
    }
    table.or("no host reported it")
}

impl Observation {
    /// What was proved, and where in a container it lies.
    fn proof(&self) -> String {
        let layer = self.layer.as_ref().map(|layer| if layer.upper { "in an upper layer" } else { "in a lower layer" }.to_owned());
        let container = self.process.as_ref().and_then(|process| process.container.as_ref()).map(|id| format!("container {id:.12}"));
        [Some(self.evidence.short()), layer, container].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl Evidence {
    fn short(&self) -> String {
        let package = self.package.as_ref().map(|package| format!("package {} {} ({})", package.name, package.version, package.fit));
        let publisher = self.publisher.as_ref().map(|publisher| {
            let valid = if publisher.valid { "signed" } else { "badly signed" };
            format!("{valid} by {}", publisher.name)
        });
        let proofs: Vec<_> = [package, publisher].into_iter().flatten().collect();
        if proofs.is_empty() { "none".into() } else { proofs.join(", ") }
    }
}

fn executions(file: &Detail, now: i64) -> String {
    let mut table = Table::new(["WHEN", ">TIMES", "HOST", ">UID", ">PID", "PARENT", "USE", "OUTCOME", "PATH"]);
    for execution in &file.executions {
        let process = execution.process.as_ref();
        table.row([
            relative(execution.at, now),
            count(execution.count),
            execution.host.clone(),
            process.map_or_else(|| "-".into(), |process| process.uid.map_or_else(|| "?".into(), |uid| uid.to_string())),
            process.map_or_else(|| "-".into(), |process| process.pid.to_string()),
            process.and_then(|process| process.parent_path.clone()).unwrap_or_else(|| "-".into()),
            execution.r#use.clone(),
            if execution.fate == "ran" { execution.fate.clone() } else { execution.fate.to_uppercase() },
            execution.path.clone(),
        ]);
    }
    table.or("nobody ran it, as far as known")
}
