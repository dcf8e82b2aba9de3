//! `trust`: where files come from. `show` prints the chain behind one, `status` how much of the host has one, `witness` has archives of
//! installed packages read that were not: from apt's cache, else fetched again by `apt-get download`.

use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, Subcommand};
use doorward_policy::PathBytes;
use doorward_service::Exit;
use nix::unistd::User;
use serde::Serialize;

use super::status::{of_client, unexpected};
use super::{Failure, apt_hook, why};
use crate::config::Settings;
use crate::control::client;
use crate::control::protocol::{Answer, Request};
use crate::control::trust::Unsigned;
use crate::trust::Witnessed;
use crate::trust::ledger::Occasion;

/// Packages fetched at a time, so that the disk never holds more than these.
const FETCHED_AT_ONCE: usize = 20;

/// Where apt keeps archives, below the root.
const CACHE: &str = "var/cache/apt/archives";

/// Whom apt itself fetches as.
const FETCHER: &str = "_apt";

/// Packages named one by one; the rest are counted.
const NAMED_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the chain from a repository's key to a file, or the link that is missing (exit code 1)
    Show {
        /// The file
        path: PathBuf,
    },
    /// Count what signed archives vouch for, and say which keys and indexes count
    Status,
    /// Have archives of installed packages read: from apt's cache, else fetched again
    Witness {
        /// Packages, as dpkg writes them; all that lack it when none are named
        packages: Vec<String>,
        /// Take what lies in apt's cache and fetch nothing
        #[arg(long)]
        offline: bool,
    },
}

/// What `witness` came to.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    /// Archives that were read.
    witnessed: u64,
    /// Packages whose archive is in no signed index, or could not be read.
    refused: Vec<String>,
    /// Packages whose installed version no repository has any more, or that could not be fetched.
    unavailable: Vec<String>,
}

pub(super) fn run(settings: &Settings, options: &Options, json: bool) -> Result<Exit, Failure> {
    match &options.command {
        What::Show { path } => show(settings, path, json),
        What::Status => match client::ask(&settings.socket(), &Request::TrustStatus, None, &mut |_| ()) {
            Ok(Answer::TrustStatus(status)) => super::print(&*status, json).map(|()| Exit::Ok),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(of_client(&error)),
        },
        What::Witness { packages, offline } => witness(settings, packages, *offline, json),
    }
}

fn show(settings: &Settings, path: &Path, json: bool) -> Result<Exit, Failure> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = PathBytes::new(path.as_os_str().as_bytes());
    let file = why::open(&path, &shown)?;
    match client::ask(&settings.socket(), &Request::TrustShow { path: shown }, Some(file.as_fd()), &mut |_| ()) {
        Ok(Answer::Chain(chain)) => {
            super::print(&*chain, json)?;
            Ok(if chain.missing.is_none() { Exit::Ok } else { Exit::Failure })
        }
        Ok(_) => Err(unexpected()),
        Err(error) => Err(of_client(&error)),
    }
}

fn witness(settings: &Settings, named: &[String], offline: bool, json: bool) -> Result<Exit, Failure> {
    let unsigned = match client::ask(&settings.socket(), &Request::TrustUnsigned, None, &mut |_| ()) {
        Ok(Answer::TrustUnsigned(unsigned)) => unsigned,
        Ok(_) => return Err(unexpected()),
        Err(error) => return Err(of_client(&error)),
    };
    let is_wanted = |package: &Unsigned| named.is_empty() || named.contains(&package.package);
    let mut outcome = Outcome::default();
    let mut missing = Vec::new();
    for package in unsigned.into_iter().filter(is_wanted) {
        match cached(&settings.root.join(CACHE), &package) {
            Some(archive) => take(settings, &archive, &package, &mut outcome)?,
            None => missing.push(package),
        }
    }
    for batch in missing.chunks(FETCHED_AT_ONCE) {
        if offline || settings.root != Path::new("/") {
            outcome.unavailable.extend(batch.iter().map(name));
        } else {
            fetch(settings, batch, &mut outcome)?;
        }
    }
    apt_hook::end(settings, Occasion::Fetched)?;
    super::print(&outcome, json)?;
    Ok(if outcome.refused.is_empty() && outcome.unavailable.is_empty() { Exit::Ok } else { Exit::Failure })
}

fn name(package: &Unsigned) -> String {
    format!("{} {}", package.package, package.version)
}

fn take(settings: &Settings, archive: &Path, package: &Unsigned, outcome: &mut Outcome) -> Result<(), Failure> {
    match apt_hook::bring(settings, archive, Occasion::Fetched)? {
        Witnessed::Signed { .. } => outcome.witnessed += 1,
        Witnessed::NotSigned { .. } => outcome.refused.push(format!("{}: in no index signed by a key that counts", name(package))),
        Witnessed::Unusable { reason } => outcome.refused.push(format!("{}: {reason}", name(package))),
    }
    Ok(())
}

/// The archive of a package in a folder; apt writes `%3a` for the colon of an epoch.
fn cached(folder: &Path, package: &Unsigned) -> Option<PathBuf> {
    let (name, architecture) = package.package.split_once(':').map_or((&*package.package, None), |(name, machine)| (name, Some(machine)));
    let stem = format!("{name}_{}_", package.version.replace(':', "%3a"));
    let is_it = |file: &PathBuf| {
        let file = file.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let rest = file.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(".deb"));
        rest.is_some_and(|machine| architecture.is_none_or(|wanted| wanted == machine))
    };
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(is_it)
}

/// Fetches archives as the user apt itself fetches as, into a folder that goes when they were read.
fn fetch(settings: &Settings, batch: &[Unsigned], outcome: &mut Outcome) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::new(Exit::CannotCreate, format!("cannot make a folder to fetch into: {error}"));
    let folder = Path::new("/var/tmp").join(format!("doorward-fetched-{}", std::process::id()));
    fs::create_dir(&folder).map_err(io)?;
    let fetched = fetch_into(&folder, batch);
    for package in batch {
        match cached(&folder, package) {
            Some(archive) => take(settings, &archive, package, outcome)?,
            None => outcome.unavailable.push(name(package)),
        }
    }
    // What cannot be removed is a few archives; the next run has a folder of another name.
    let _ = fs::remove_dir_all(&folder);
    fetched
}

fn fetch_into(folder: &Path, batch: &[Unsigned]) -> Result<(), Failure> {
    let fetcher = User::from_name(FETCHER).ok().flatten();
    if let Some(user) = &fetcher {
        let owned = nix::unistd::chown(folder, Some(user.uid), Some(user.gid));
        owned.map_err(|error| Failure::new(Exit::Os, format!("cannot hand a folder to {FETCHER}: {error}")))?;
    }
    // One at a time where all together fail: apt fetches none when one is missing.
    let all: Vec<&Unsigned> = batch.iter().collect();
    if !download(folder, fetcher.as_ref(), &all)? && batch.len() > 1 {
        for package in batch {
            download(folder, fetcher.as_ref(), &[package])?;
        }
    }
    Ok(())
}

/// A command of a person's, never of the daemon: apt alone knows mirrors, proxies and passwords.
fn download(folder: &Path, fetcher: Option<&User>, packages: &[&Unsigned]) -> Result<bool, Failure> {
    let mut command = Command::new("apt-get");
    command.current_dir(folder).args(["-qq", "-o", "APT::Sandbox::User=", "download"]);
    command.args(packages.iter().map(|package| format!("{}={}", package.package, package.version)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(user) = fetcher {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let status = command.status().map_err(|error| Failure::new(Exit::Unavailable, format!("cannot start apt-get: {error}")))?;
    Ok(status.success())
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} archives read, {} refused, {} unavailable", self.witnessed, self.refused.len(), self.unavailable.len())?;
        self.refused.iter().take(NAMED_MAX).try_for_each(|line| writeln!(f, "refused      {line}"))?;
        self.unavailable.iter().take(NAMED_MAX).try_for_each(|line| writeln!(f, "unavailable  {line}"))
    }
}
