//! `scan`, and waiting for one: shows how far it is until it ends, and does not mind that the server restarts meanwhile.

use std::time::{Duration, Instant};

use clap::Subcommand;
use doorward_policy::ScanId;
use doorward_service::Exit;
use serde::Deserialize;
use serde_json::Value;

use super::Session;
use super::failure::Failure;
use super::output::sentence;
use super::table::Facts;
use super::terminal::{count, size};
use super::time::{both, length};

/// How often a scan that is waited for is asked about.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How often progress is told where lines cannot be written over.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Longest a server may be away while a scan is waited for.
const RESTART_WAIT_MAX: Duration = Duration::from_secs(60);

/// Longest a host may say nothing about its scan before waiting ends.
const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show how a scan goes or went
    Show {
        /// As `profile scan` printed it
        id: ScanId,
    },
}

#[derive(Debug, Deserialize)]
struct Scan {
    id: String,
    profile: String,
    host_id: String,
    host: String,
    connected: bool,
    reference: bool,
    state: String,
    requested_at: i64,
    requested_by: String,
    updated_at: i64,
    progress: Option<Progress>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Progress {
    files: u64,
    files_total: u64,
    candidates: u64,
    bytes: u64,
    package_trusted: u64,
    otherwise_trusted: u64,
    unresolved: u64,
    skipped: u64,
    elapsed_ms: u64,
}

impl Command {
    pub(super) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let now = session.now;
        let Self::Show { id } = self;
        let answer = session.client.get(&["scans", &id.to_string()], &[]).await?;
        session.output.show(answer, |scan| show(&scan, now))
    }
}

/// A scan that nobody waits for.
pub(super) fn requested(session: &mut Session<'_>, answer: Value) -> Result<(), Failure> {
    session.output.show(answer, |scan: Scan| {
        let kind = if scan.reference { "a reference scan" } else { "a scan" };
        let away = if scan.connected { "" } else { "; it is not connected and begins when it is" };
        sentence(format!("host {} is asked for {kind}{away}", scan.host))
            + &sentence(format!("to see how it goes: doorward-cms scan show {}", scan.id))
    })
}

/// Waits for the end, then shows the last progress.
pub(super) async fn wait(session: &mut Session<'_>, requested: Value) -> Result<(), Failure> {
    let mut scan = parsed(&requested)?;
    let id = scan.id.clone();
    let mut answer = requested;
    let (mut told, mut moved) = (None::<Instant>, Instant::now());
    while !scan.ended() {
        if session.output.screen || told.is_none_or(|told| told.elapsed() >= LOG_INTERVAL) {
            session.output.progress(&scan.line());
            told = Some(Instant::now());
        }
        if moved.elapsed() > SILENCE_MAX {
            session.output.progress_done();
            let silent = format!("host {} said nothing about its scan for {} minutes", scan.host, SILENCE_MAX.as_secs() / 60);
            return Err(Failure::new(Exit::Temporary, silent).next(format!("the scan may still go on: doorward-cms scan show {id}")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        answer = poll(session, &id).await?;
        let newer = parsed(&answer)?;
        if newer.updated_at != scan.updated_at {
            moved = Instant::now();
        }
        scan = newer;
    }
    session.output.progress_done();
    ended(session, &scan, answer)
}

/// The scan now. A server that is away is asked again for a while.
async fn poll(session: &mut Session<'_>, id: &str) -> Result<Value, Failure> {
    let since = Instant::now();
    loop {
        match session.client.get(&["scans", id], &[]).await {
            Err(failure) if matches!(failure.exit, Exit::Unavailable | Exit::Temporary) && since.elapsed() < RESTART_WAIT_MAX => {
                session.output.progress("the server does not answer; waiting for it");
                tokio::time::sleep(POLL_INTERVAL * 4).await;
            }
            outcome => return outcome,
        }
    }
}

fn ended(session: &mut Session<'_>, scan: &Scan, mut answer: Value) -> Result<(), Failure> {
    if scan.state == "failed" {
        let why = scan.error.as_deref().unwrap_or("it did not say why; its log does");
        let failure = Failure::new(Exit::Failure, format!("the scan of host {} failed: {why}", scan.host));
        return Err(failure.next(format!("doorward-cms scan show {}", scan.id)));
    }
    let text = finished(scan);
    session.output.show(answer["progress"].take(), |_: Value| text)
}

fn parsed(answer: &Value) -> Result<Scan, Failure> {
    Scan::deserialize(answer).map_err(Failure::answer)
}

impl Scan {
    fn ended(&self) -> bool {
        matches!(self.state.as_str(), "done" | "stopped" | "failed")
    }

    /// How far it is, in one line.
    fn line(&self) -> String {
        let Some(progress) = &self.progress else {
            let away = if self.connected { "" } else { " (it is not connected)" };
            return format!("waiting for host {} to begin{away}", self.host);
        };
        let total = match progress.files_total {
            0 => String::new(),
            total => format!(" of {}, {} %", count(total), progress.files.min(total) * 100 / total),
        };
        format!(
            "host {} scans: {} files{total}; {} candidates, {}; {}",
            self.host,
            count(progress.files),
            count(progress.candidates),
            size(progress.bytes),
            length(progress.elapsed_ms)
        )
    }
}

fn facts(progress: &Progress) -> Facts {
    Facts::default()
        .add("files", count(progress.files))
        .add("candidates", format!("{}, {}", count(progress.candidates), size(progress.bytes)))
        .add("trusted by package", count(progress.package_trusted))
        .add("trusted otherwise", count(progress.otherwise_trusted))
        .add("unresolved", count(progress.unresolved))
        .add("skipped", count(progress.skipped))
        .add("took", length(progress.elapsed_ms))
}

fn finished(scan: &Scan) -> String {
    let kind = if scan.reference { "reference scan" } else { "scan" };
    let head = sentence(format!("the {kind} of host {} is {}", scan.host, scan.state));
    let body = scan.progress.as_ref().map(|progress| facts(progress).text()).unwrap_or_default();
    let profile = super::terminal::shown(&scan.profile);
    format!(
        "{head}\n{body}\nwhat it found: doorward-cms allowlist show {profile}; what publishing would allow: doorward-cms profile diff {profile}\n"
    )
}

fn show(scan: &Scan, now: i64) -> String {
    let head = Facts::default()
        .add("scan", scan.id.clone())
        .add("state", scan.state.to_uppercase())
        .add("host", format!("{} ({})", scan.host, scan.host_id))
        .add("profile", scan.profile.clone())
        .add("reference", if scan.reference { "yes" } else { "no" })
        .add("requested", format!("{} by {}", both(scan.requested_at, now), scan.requested_by))
        .add("last word", both(scan.updated_at, now))
        .maybe("error", scan.error.clone())
        .text();
    match &scan.progress {
        Some(progress) => format!("{head}\n{}", facts(progress).text()),
        None => head,
    }
}
