//! `doorward-bench scan`: a reference scan beside its limit, packaged files beside `debsums -s`, a rescan beside `find`,
//! and the memory it all takes.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::Args;
use tempfile::TempDir;

use super::machine::Machine;
use super::measure::{Cache, Side, alternate, empty_caches, median, run};
use super::round::{Outcome, Work};
use super::{Figures, Row};

/// `debsums` takes minutes a round, so it runs no more often than this.
const DEBSUMS_ROUNDS_MAX: usize = 1;

/// Exit codes of `debsums` that mean it checked everything: 2 is "something does not match".
const DEBSUMS_DONE: [i32; 2] = [0, 2];

/// Exit codes of `find`: 1 is "something could not be read".
const FIND_DONE: [i32; 2] = [0, 1];

/// The command line of the bench.
#[derive(Debug, Clone, Args)]
pub struct ScanBench {
    /// Print one JSON object on the last line
    #[arg(long)]
    json: bool,
    /// Root of the file system to scan; only the file system it is on is measured
    #[arg(long, default_value = "/")]
    root: PathBuf,
    /// Rounds of each side; medians are printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Figures to leave out: first, packaged, rescan, memory
    #[arg(long, value_delimiter = ',')]
    skip: Vec<String>,
}

/// Rounds under way.
struct Rounds<'a> {
    options: &'a ScanBench,
    state: TempDir,
    figures: Figures,
    peak_rss_mib: f64,
}

impl ScanBench {
    /// Measures and prints.
    ///
    /// # Errors
    /// When one of our own rounds fails, or a peer that is installed does not end well.
    pub fn run(&self) -> Result<()> {
        let figures = Figures { bench: "scan", machine: Machine::this(), rows: Vec::new() };
        let mut rounds = Rounds { options: self, state: TempDir::new()?, figures, peak_rss_mib: 0.0 };
        rounds.note_conditions();
        if self.wants("first") {
            rounds.first()?;
        }
        if self.wants("packaged") {
            rounds.packaged("scan.packaged", Cache::Cold)?;
            rounds.packaged("scan.packaged_warm", Cache::Warm)?;
        }
        if self.wants("rescan") {
            rounds.rescan()?;
        }
        if self.wants("memory") {
            rounds.memory()?;
        }
        if self.json {
            println!("{}", serde_json::to_string(&rounds.figures)?);
        } else {
            print!("{}", rounds.figures);
        }
        Ok(())
    }

    fn wants(&self, figure: &str) -> bool {
        !self.skip.iter().any(|skipped| skipped == figure)
    }
}

impl Rounds<'_> {
    fn note_conditions(&mut self) {
        let caches = if empty_caches() {
            "the kernel's caches were emptied before every round of scan.first and scan.packaged; all others ran with warm caches"
        } else {
            "without root the kernel's caches could not be emptied: scan.first and scan.packaged ran with whatever was cached"
        };
        self.note(caches.to_owned());
        self.note(format!("medians of {} rounds, sides in alternating order, every round a process of its own", self.options.rounds));
    }

    /// A scan that knows nothing beside the limit.
    fn first(&mut self) -> Result<()> {
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        let mut last = Outcome::default();
        let mut limit_last = Outcome::default();
        alternate(self.options.rounds, |side| {
            match side {
                Side::Ours => {
                    self.forget()?;
                    let (seconds, outcome) = self.round(Work::Scan, Cache::Cold)?;
                    ours.push(seconds);
                    last = outcome;
                }
                Side::Peer => {
                    let (_, outcome) = self.round(Work::Limit, Cache::Cold)?;
                    limit.push(outcome.seconds.context("the limit told no time")?);
                    limit_last = outcome;
                }
            }
            Ok(())
        })?;
        self.note(format!(
            "scan.first: {} files, {} candidates, {} unresolved, {} MB digested; the limit: {} candidates, {} MB",
            last.files,
            last.candidates,
            last.unresolved,
            last.digested_bytes / 1_000_000,
            limit_last.candidates,
            limit_last.digested_bytes / 1_000_000,
        ));
        self.cost("scan.first", &ours, "same candidates found, read and digested by all cores, nothing else", &limit)
    }

    /// Every packaged file, programs or not.
    fn packaged(&mut self, name: &'static str, cache: Cache) -> Result<()> {
        let has_peer = self.options.root.as_os_str() == "/" && is_installed("debsums");
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        alternate(self.options.rounds, |side| {
            match side {
                Side::Ours => {
                    let (seconds, outcome) = self.round(Work::Verify, cache)?;
                    if ours.is_empty() {
                        self.note(format!("{name}: {} files, {} MB", outcome.files, outcome.digested_bytes / 1_000_000));
                    }
                    ours.push(seconds);
                }
                Side::Peer if has_peer && peer.len() < DEBSUMS_ROUNDS_MAX => {
                    // It names every changed file there, of which some hosts have thousands.
                    peer.push(run(Command::new("debsums").arg("-s").stderr(Stdio::null()), cache, &DEBSUMS_DONE)?.seconds);
                }
                Side::Peer => {}
            }
            Ok(())
        })?;
        self.note(format!("{name}: {} round(s) of debsums; it is absent, or checks the host alone, where there are none", peer.len()));
        self.cost(name, &ours, "debsums -s", &peer)
    }

    /// A scan that knows everything.
    fn rescan(&mut self) -> Result<()> {
        if !self.state.path().join("identity/generation").exists() {
            self.round(Work::Scan, Cache::Warm)?;
        }
        let root = self.options.root.clone();
        let find = || {
            let mut find = Command::new("find");
            find.arg(&root).args(["-xdev", "-type", "f", "-printf", "%s"]);
            run(&mut find, Cache::Warm, &FIND_DONE)
        };
        find()?;
        self.round(Work::Scan, Cache::Warm)?;
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        alternate(self.options.rounds.max(5), |side| {
            match side {
                Side::Ours => {
                    let (seconds, outcome) = self.round(Work::Scan, Cache::Warm)?;
                    if ours.is_empty() {
                        self.note(format!("scan.rescan: {} files, {} MB read again", outcome.files, outcome.digested_bytes / 1_000_000));
                    }
                    ours.push(seconds);
                }
                Side::Peer => peer.push(find()?.seconds),
            }
            Ok(())
        })?;
        self.cost("scan.rescan", &ours, "find -xdev -type f -printf %s", &peer)
    }

    /// What a host pays in memory: the running agent's, and beside it the scan's alone.
    fn memory(&mut self) -> Result<()> {
        let root = &self.options.root;
        let library = format!(
            "scan.memory_library: highest VmHWM of the scans measured here, which count findings and keep only identities; the file system {} is on",
            root.display()
        );
        self.note(library);
        if self.peak_rss_mib > 0.0 {
            self.figures.rows.push(Row::alone("scan.memory_library", "MiB", self.peak_rss_mib));
        }
        if std::env::var_os("DOORWARD_BIN_DIR").is_none() {
            self.note(
                "scan.memory: not measured, because DOORWARD_BIN_DIR does not say where the programs are; `cargo xtask bench` does"
                    .to_owned(),
            );
            return Ok(());
        }
        let agent = super::agent::scan(&self.options.root)?;
        self.note(format!(
            "scan.memory: VmHWM of a running `doorward-agent`, with its stores, watches and uplink, after a reference scan of {} for a real CMS: {} files on every local file system, {} reported",
            self.options.root.display(),
            agent.files,
            agent.unresolved,
        ));
        self.figures.rows.push(Row::alone("scan.memory", "MiB", agent.peak_rss_mib));
        Ok(())
    }

    fn cost(&mut self, name: &'static str, ours: &[f64], peer_name: &'static str, peer: &[f64]) -> Result<()> {
        let spread = |times: &[f64]| times.iter().map(|seconds| format!("{seconds:.2}")).collect::<Vec<_>>().join(" ");
        self.note(format!("{name} rounds: ours {} s; peer {} s", spread(ours), spread(peer)));
        let ours = median(ours).context("no rounds")?;
        self.figures.rows.push(Row::cost(name, "s", ours, peer_name, median(peer)));
        Ok(())
    }

    /// One round of ours; seconds are the whole process's.
    fn round(&mut self, work: Work, cache: Cache) -> Result<(f64, Outcome)> {
        let word = match work {
            Work::Scan => "scan",
            Work::Limit => "limit",
            Work::Verify => "verify",
            Work::Load => "load",
        };
        let mut round = Command::new(std::env::current_exe()?);
        round.args(["round", word, "--root"]).arg(&self.options.root).arg("--state").arg(self.state.path());
        let ran = run(&mut round, cache, &[0])?;
        let outcome: Outcome = serde_json::from_slice(&ran.output).context("a round printed no outcome")?;
        if work == Work::Scan {
            self.peak_rss_mib = self.peak_rss_mib.max(outcome.peak_rss_mib);
        }
        eprintln!("{word}: {:.2} s, {:.0} MiB", outcome.seconds.unwrap_or(ran.seconds), outcome.peak_rss_mib);
        Ok((ran.seconds, outcome))
    }

    fn forget(&mut self) -> Result<()> {
        self.state = TempDir::new()?;
        Ok(())
    }

    fn note(&mut self, note: String) {
        self.figures.machine.notes.push(note);
    }
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
