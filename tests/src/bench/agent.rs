//! The real agent under a reference scan: enrolled at a real CMS, with its stores, its uplink and everything else it carries, so that its
//! memory is what a host pays.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::site::Site;

/// What the agent's process came to.
pub(super) struct AgentScan {
    /// High-water mark of its resident memory, in MiB.
    pub(super) peak_rss_mib: f64,
    /// Files looked at.
    pub(super) files: u64,
    /// Of them, reported to the CMS.
    pub(super) unresolved: u64,
}

/// Scans `root` with an agent that runs, and reads its memory's high-water mark once nothing waits any more.
///
/// # Errors
/// When the process cannot be looked at.
///
/// # Panics
/// When a program is not there or does not do its part.
pub(super) fn scan(root: &Path) -> Result<AgentScan> {
    let site = Site::start();
    let mut host = site.host("bench").on_root(root).enrolled().running();
    let scan = host.reference_scan(&site);
    let status = fs::read_to_string(format!("/proc/{}/status", host.agent().pid())).context("the agent's process cannot be looked at")?;
    let number = |key: &str| scan[key].as_u64().unwrap_or_default();
    Ok(AgentScan { peak_rss_mib: high_water_mark_mib(&status)?, files: number("files"), unresolved: number("unresolved") })
}

/// `VmHWM` of a `/proc/PID/status`, in MiB.
pub(super) fn high_water_mark_mib(status: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in the process's status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::high_water_mark_mib;

    #[test]
    fn the_high_water_mark_is_read_in_mib_and_its_absence_is_an_error() {
        assert_eq!(high_water_mark_mib("Name:\tx\nVmPeak:\t9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t1 kB\n").unwrap(), 2.0);
        high_water_mark_mib("Name:\tkthreadd\n").unwrap_err();
    }
}
