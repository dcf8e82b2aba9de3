//! `scan`: a scan in this process, for a person who wants to know; or with `--report`, by the daemon, for the CMS.

use std::fmt;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use doorward_policy::{PathBytes, TrustRules};
use doorward_service::{Clock, Exit};

use super::Failure;
use super::progress::Shown;
use super::status::{of_client, unexpected};
use crate::config::Settings;
use crate::control::client;
use crate::control::protocol::{Answer, Request, ScanCounts, ScanOutcome};
use crate::identify::{Identifier, IdentityStore, Limits};
use crate::scan::{self, ByPackage, Cancel, Finding, Progress, Scan, Sink};
use crate::system::{entropy, memory};
use crate::trust::Trust;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Files and folders to scan, as paths seen from the root; everything when there are none
    paths: Vec<PathBuf>,
    /// Ask the running daemon to scan and to report what it finds to the management server; needs root
    #[arg(long)]
    report: bool,
    /// Name every file that nothing vouches for, on standard error
    #[arg(long)]
    list: bool,
}

pub(super) fn run(settings: &Settings, options: &Options, json: bool) -> Result<(), Failure> {
    let paths = options.paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let paths: Vec<_> = paths.map(|path| PathBytes::new(path.as_os_str().as_bytes())).collect();
    let outcome = if options.report { by_daemon(settings, paths)? } else { here(settings, paths, options.list)? };
    super::print(&outcome, json)
}

fn by_daemon(settings: &Settings, paths: Vec<PathBytes>) -> Result<ScanOutcome, Failure> {
    let told = &mut |counts: ScanCounts| {
        eprintln!("scan: {} files, {} candidates, {} unresolved", counts.files, counts.candidates, counts.unresolved);
    };
    match client::ask(&settings.socket(), &Request::Scan { paths }, None, told).map_err(|error| of_client(&error))? {
        Answer::Scan(outcome) => Ok(outcome),
        _ => Err(unexpected()),
    }
}

/// Scans by package evidence alone: lists are the CMS's, and a scan here is for finding out what a package vouches for.
fn here(settings: &Settings, paths: Vec<PathBytes>, list: bool) -> Result<ScanOutcome, Failure> {
    let began = Instant::now();
    let identifier = Identifier::new(Arc::new(identities(settings)), Clock::system(), Limits::default());
    let (trust, problems) = Trust::open(&settings.root);
    for problem in problems {
        eprintln!("doorward-agent: the package database cannot be used: {problem}");
    }
    let (trust, progress, cancel) = (trust.current(), Arc::new(Progress::default()), Cancel::default());
    let scan = Scan {
        options: scan::Options { root: settings.root.clone(), paths, threads: settings.scan.threads, ..scan::Options::default() },
        identifier: &identifier,
        trust: trust.as_deref(),
        publishers: None,
        judge: &ByPackage(TrustRules::default()),
        sink: &Listing(list),
        progress: &progress,
        cancel: &cancel,
    };
    let shown = Shown::start(&progress);
    let summary = scan.run();
    shown.end();
    let summary = summary.map_err(|error| Failure::of(Exit::NoInput, &error))?;
    Ok(ScanOutcome::of(&summary, began.elapsed(), memory::peak_mib()))
}

/// Identities of earlier scans, when this user may keep them; else none, and every candidate is read.
fn identities(settings: &Settings) -> IdentityStore {
    match IdentityStore::open(&settings.identity_dir(), entropy::fill) {
        Ok((store, problems)) => {
            for problem in problems {
                eprintln!("doorward-agent: {problem}");
            }
            store
        }
        Err(error) => {
            eprintln!("doorward-agent: nothing is remembered of this scan: {}: {error}", settings.identity_dir().display());
            IdentityStore::in_memory(entropy::fill)
        }
    }
}

/// Names unresolved files when asked to; the counts are the scan's own.
struct Listing(bool);

impl Sink for Listing {
    fn findings(&self, findings: Vec<Finding>) -> ControlFlow<()> {
        if self.0 {
            for finding in findings {
                eprintln!("unresolved: {} {} {}", finding.file.digests.sha256, finding.file.kind.word(), finding.path);
            }
        }
        ControlFlow::Continue(())
    }
}

impl fmt::Display for ScanOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<22}{value:>16}");
        line("files", self.files.to_string())?;
        line("candidates", self.candidates.to_string())?;
        line("bytes of files", self.bytes.to_string())?;
        line("read", format!("{} files", self.digested_files))?;
        line("bytes read", self.digested_bytes.to_string())?;
        line("trusted by package", self.package_trusted.to_string())?;
        line("settled otherwise", self.otherwise_trusted.to_string())?;
        line("unresolved", self.unresolved.to_string())?;
        for (reason, count) in &self.skipped {
            line(&format!("skipped, {}", reason.replace('_', " ")), count.to_string())?;
        }
        line("seconds", format!("{:.2}", self.seconds))?;
        line("peak memory, MiB", format!("{:.1}", self.peak_rss_mib))?;
        if self.stopped { writeln!(f, "The scan was stopped before its end.") } else { Ok(()) }
    }
}
