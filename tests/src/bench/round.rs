//! One measured round of ours, in a process of its own: it does the work, then prints what it did as one JSON line.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use doorward_agent::identify::{Identifier, IdentityStore, Limits};
use doorward_agent::scan::{ByPackage, Cancel, Finding, Options, Progress, Scan, Sink};
use doorward_agent::system::memory::give_back;
use doorward_agent::trust::{PackageTrust, verify};
use doorward_policy::PathBytes;
use doorward_service::clock::Clock;
use serde::{Deserialize, Serialize};

use super::agent::high_water_mark_mib;
use super::limit;
use super::spent::memory;

/// What a round does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// A scan with the identity store as it is found.
    Scan,
    /// The same digests with nothing else done.
    Limit,
    /// Every packaged file against its package.
    Verify,
    /// The package databases, to a generation of trust.
    Load,
}

/// A round's command line.
#[derive(Debug, Clone, Args)]
pub struct Round {
    /// What to do
    pub work: Work,
    /// Root of the file system
    #[arg(long)]
    pub root: PathBuf,
    /// Folder for the identity store, which rounds leave each other
    #[arg(long)]
    pub state: PathBuf,
    /// Threads; 0 means as many as a scan takes
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// What a round did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Where the work itself was timed, and not the whole process.
    pub(super) seconds: Option<f64>,
    pub(super) files: u64,
    pub(super) candidates: u64,
    pub(super) digested_bytes: u64,
    pub(super) unresolved: u64,
    pub(super) peak_rss_mib: f64,
    /// Kept once the work is done, beside what the process had before it.
    #[serde(default)]
    pub(super) held_mib: f64,
}

impl Round {
    /// Does the work and prints the outcome.
    ///
    /// # Errors
    /// When it could not be done.
    pub fn run(&self) -> Result<()> {
        let threads = self.options().threads_used();
        let mut outcome = match self.work {
            Work::Scan => self.scan()?,
            Work::Limit => self.limit(threads)?,
            Work::Load => self.load()?,
            Work::Verify => {
                let verification = verify::verify(&self.root, self.threads)?.ok_or_else(|| anyhow!("no package database"))?;
                Outcome { files: verification.files(), digested_bytes: verification.bytes, ..Outcome::default() }
            }
        };
        outcome.peak_rss_mib = peak_rss_mib()?;
        println!("{}", serde_json::to_string(&outcome)?);
        Ok(())
    }

    fn scan(&self) -> Result<Outcome> {
        let (store, problems) = IdentityStore::open(&self.state.join("identity"), |key| key.fill(7))?;
        for problem in problems {
            eprintln!("{problem}");
        }
        let identifier = Identifier::new(Arc::new(store), Clock::system(), Limits::default());
        let trust = PackageTrust::load(&self.root)?;
        let sink = Unresolved::default();
        let scan = Scan {
            options: self.options(),
            identifier: &identifier,
            trust: trust.as_ref(),
            publishers: None,
            judge: &ByPackage::default(),
            sink: &sink,
            progress: &Progress::default(),
            cancel: &Cancel::default(),
        };
        let summary = scan.run()?;
        Ok(Outcome {
            files: summary.counts.files,
            candidates: summary.counts.candidates,
            digested_bytes: summary.counts.digested_bytes,
            unresolved: sink.0.load(Ordering::Relaxed),
            ..Outcome::default()
        })
    }

    /// Files are the paths, candidates the packages.
    fn load(&self) -> Result<Outcome> {
        let before = memory(std::process::id())?.now;
        let trust = PackageTrust::load(&self.root)?.ok_or_else(|| anyhow!("no package database"))?;
        give_back();
        let held_mib = memory(std::process::id())?.now - before;
        Ok(Outcome { files: trust.paths() as u64, candidates: trust.packages() as u64, held_mib, ..Outcome::default() })
    }

    fn options(&self) -> Options {
        Options { root: self.root.clone(), threads: self.threads, one_filesystem: true, ..Options::default() }
    }

    fn limit(&self, threads: usize) -> Result<Outcome> {
        let trust = PackageTrust::load(&self.root)?;
        let want_md5 = |path: Vec<u8>| trust.as_ref().is_some_and(|trust| trust.wanted_digest(&PathBytes::new(path)).is_some());
        // What it knows beforehand costs the limit nothing.
        let started = Instant::now();
        let done = limit::run(&self.root, &want_md5, threads)?;
        Ok(Outcome { seconds: Some(started.elapsed().as_secs_f64()), ..done })
    }
}

/// The high-water mark of this process's memory, binary and libraries included.
fn peak_rss_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    high_water_mark_mib(&status)
}

/// Counts findings, as a host would queue them.
#[derive(Default)]
struct Unresolved(AtomicU64);

impl Sink for Unresolved {
    fn findings(&self, findings: Vec<Finding>) -> ControlFlow<()> {
        self.0.fetch_add(findings.len() as u64, Ordering::Relaxed);
        ControlFlow::Continue(())
    }
}
