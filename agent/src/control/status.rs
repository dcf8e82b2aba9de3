//! What `status` tells: the shape of its JSON, and the same for people.

use std::collections::BTreeMap;
use std::fmt;

use doorward_policy::{HostId, Mode, ProfileId};
use doorward_proto::report::Coverage;
use doorward_proto::uplink::{CoverageKind, ScanProgress, ScanState};
use serde::{Deserialize, Serialize};

use super::trust::PackageCounts;
use crate::sandbox::Standing;

/// How the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// How far the CMS asks this host to act.
    pub mode: Mode,
    /// As enrolled.
    pub host_id: HostId,
    /// As enrolled.
    pub profile_id: ProfileId,
    /// The profile's name.
    pub profile: String,
    /// The CMS's address.
    pub cms: String,
    /// A stream to the CMS is open and welcome.
    pub connected: bool,
    /// Why it is not, as far as known.
    pub last_error: Option<String>,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// Revision of the host settings in force; 0 before the CMS sent any.
    pub settings_revision: u64,
    /// Reports that wait for acknowledgement.
    pub pending: u64,
    /// Files that were executed or loaded here and wait for a verdict.
    pub awaiting: u64,
    /// Reports dropped since the store was made.
    pub dropped: u64,
    /// Packages by what vouches for them.
    #[serde(default)]
    pub packages: PackageCounts,
    /// Which opens count as uses.
    pub watches: CoverageKind,
    /// What is watched and what is not.
    pub coverage: Coverage,
    /// The helpers that read hostile files, and the walls they do without.
    pub sandbox: Standing,
    /// The scan under way.
    pub scan: Option<ScanProgress>,
    /// Failures since start by their codes.
    pub failures: BTreeMap<String, u64>,
    /// Executions since start.
    pub executions: Executions,
    /// The agent's version.
    pub version: String,
    /// Seconds since start.
    pub uptime_s: u64,
}

/// The policy in force; all 0 for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Line of revisions.
    pub epoch: u64,
    /// Revision within it.
    pub revision: u64,
    /// Records in it.
    pub records: u64,
}

/// Executions since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Executions {
    /// Noticed.
    pub seen: u64,
    /// Judged.
    pub judged: u64,
    /// Settled by nothing.
    pub unresolved: u64,
}

/// The word of a mode.
#[must_use]
pub const fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Disabled => "disabled",
        Mode::Detect => "detect",
        Mode::Protect => "protect",
    }
}

/// Writes a line of the table: what, and how it is.
fn line(f: &mut fmt::Formatter<'_>, what: &str, how: &str) -> fmt::Result {
    writeln!(f, "{what:<13}{how}")
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Protect => "protect",
            mode => mode_word(mode),
        };
        let connection = match (&self.last_error, self.connected) {
            (_, true) => "connected".to_owned(),
            (Some(error), false) => format!("not connected: {error}"),
            (None, false) => "not connected".to_owned(),
        };
        let executions = &self.executions;
        line(f, "mode", mode)?;
        line(f, "host", &self.host_id.to_string())?;
        line(f, "profile", &format!("{} ({})", self.profile, self.profile_id))?;
        line(f, "cms", &format!("{}, {connection}", self.cms))?;
        line(f, "policy", &format!("revision {}, {} records", self.policy.revision, self.policy.records))?;
        line(f, "settings", &format!("revision {}", self.settings_revision))?;
        line(f, "reports", &format!("{} waiting, {} dropped; {} files await a verdict", self.pending, self.dropped, self.awaiting))?;
        line(f, "executions", &format!("{} seen, {} judged, {} unresolved", executions.seen, executions.judged, executions.unresolved))?;
        let PackageCounts { installed, signed } = self.packages;
        line(f, "packages", &format!("{signed} of {installed} by signed archives, the rest by the local database alone"))?;
        line(f, "scan", &self.scan.as_ref().map_or_else(|| "none under way".to_owned(), scan_line))?;
        line(f, "sandbox", &self.sandbox.to_string())?;
        self.fmt_coverage(f)?;
        for (code, count) in &self.failures {
            line(f, "failure", &format!("{code}: {count}"))?;
        }
        line(f, "version", &format!("{}, up {}", self.version, duration(self.uptime_s)))
    }
}

impl Status {
    fn fmt_coverage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watches = match self.watches {
            CoverageKind::Exec => "executions",
            CoverageKind::ExecAndOpen => "executions, and opens by loaders and interpreters",
        };
        line(f, "watched for", watches)?;
        let covered = self.coverage.covered.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        line(f, "watched", if covered.is_empty() { "nothing" } else { &covered })?;
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for entry in &self.coverage.uncovered {
            by_reason.entry(&entry.reason).or_default().push(format!("{} ({})", entry.mount_point, entry.filesystem));
        }
        for (reason, filesystems) in by_reason {
            line(f, "not watched", &format!("{}: {reason}", filesystems.join(", ")))?;
        }
        if self.coverage.user_namespaces {
            line(f, "not watched", "filesystems mounted inside user namespaces, which anybody here may make")?;
        }
        Ok(())
    }
}

fn scan_line(scan: &ScanProgress) -> String {
    let state = match scan.state {
        ScanState::Running => "under way",
        ScanState::Done => "done",
        ScanState::Stopped => "stopped",
        ScanState::Failed => "failed",
    };
    format!("{state}: {} files, {} candidates, {} unresolved", scan.files, scan.candidates, scan.unresolved)
}

fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_the_two_units_that_matter() {
        assert_eq!([5, 65, 3_700, 90_000].map(duration), ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"].map(String::from));
    }
}
