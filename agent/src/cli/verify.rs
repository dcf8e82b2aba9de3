//! `verify`: every packaged file against what its package brought, programs or not. Reads, reports and changes nothing.

use std::fmt;
use std::io::Write;

use clap::Args;
use doorward_policy::PathBytes;
use doorward_service::Exit;
use serde::Serialize;

use super::Failure;
use crate::config::Settings;
use crate::trust::verify::{Finding, Verification, verify};

/// Check every packaged file against its package.
///
/// Reads every file that a package of dpkg or rpm lists with a digest, and says which ones were changed or are missing, one line each with what it
/// is and its path. Configuration files are left out: changing them is their administrator's right. So are files whose package
/// does not want their content verified. Names are escaped where they could
/// steer a terminal.
///
/// The package database itself is taken at its word, and whoever was root could have edited it: a clean outcome says that nothing changed
/// behind the package manager's back, not that nobody tampered with both.
///
/// Needs no daemon and no management server. Files this user may not read are counted and named, and are no difference: run it as root to
/// have them checked.
///
/// Exit codes: 0 when nothing differs, 1 when something does, 66 when there is no package database, 74 when it cannot be read.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Threads that read; 0 for as many as serve the disk best
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    threads: usize,
}

/// The outcome, as it is printed.
#[derive(Serialize)]
struct Verified {
    files: u64,
    matching: u64,
    modified: u64,
    missing: u64,
    unreadable: u64,
    bytes: u64,
    /// The first so many; the counts above count all.
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    path: PathBytes,
    finding: &'static str,
}

/// Prints what differs; says so in the exit code too.
pub(super) fn run(settings: &Settings, options: &Options, json: bool) -> Result<Exit, Failure> {
    let verification = verify(&settings.root, options.threads).map_err(|error| Failure::of(Exit::Io, &error))?;
    let Some(verification) = verification else {
        let root = settings.root.display();
        return Err(Failure::new(Exit::NoInput, format!("no package database of dpkg or rpm below {root}")));
    };
    let verified = Verified::from(verification);
    super::print(&verified, json)?;
    std::io::stdout().flush().map_err(|error| Failure::new(Exit::Io, format!("cannot print the result: {error}")))?;
    Ok(if verified.is_clean() { Exit::Ok } else { Exit::Failure })
}

impl Verified {
    const fn is_clean(&self) -> bool {
        self.modified == 0 && self.missing == 0
    }
}

impl From<Verification> for Verified {
    fn from(verification: Verification) -> Self {
        let files = verification.files();
        let Verification { matching, modified, missing, unreadable, bytes, mut named } = verification;
        // Threads find them in any order; people and scripts compare runs.
        named.sort();
        let differences = named.into_iter().map(|(path, finding)| Difference { path, finding: word(finding) }).collect();
        Self { files, matching, modified, missing, unreadable, bytes, differences }
    }
}

const fn word(finding: Finding) -> &'static str {
    match finding {
        Finding::Modified => "changed",
        Finding::Missing => "missing",
        Finding::Unreadable => "unreadable",
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Difference { path, finding } in &self.differences {
            writeln!(f, "{finding:<11}{path}")?;
        }
        let named = self.differences.len() as u64;
        let unnamed = (self.modified + self.missing + self.unreadable).saturating_sub(named);
        if unnamed > 0 {
            writeln!(f, "… and {unnamed} more")?;
        }
        let Self { files, matching, modified, missing, unreadable, .. } = self;
        writeln!(
            f,
            "{files} packaged files: {matching} as their packages brought them, {modified} changed, {missing} missing, {unreadable} not readable by this user"
        )
    }
}
