//! What a daemon has spent so far, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Memory of a process, in MiB.
pub(super) struct Memory {
    pub(super) now: f64,
    pub(super) peak: f64,
}

/// Microseconds of processor time of a process and its threads; in steps of a tick, a hundredth of a second.
pub(super) fn processor_us(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = sysconf(SysconfVar::CLK_TCK)?.context("how long a tick is")?;
    Ok(ticks_of(&stat).context("utime and stime")? as f64 * 1e6 / ticks as f64)
}

/// Reads it.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mib = |key: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| key.to_owned())?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    Ok(Memory { now: mib("VmRSS:")?, peak: mib("VmHWM:")? })
}

/// `utime` and `stime` of `/proc/PID/stat`. The name before them may hold anything, brackets included.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::ticks_of;

    #[test]
    fn a_name_with_brackets_and_spaces_is_passed_over() {
        assert_eq!(ticks_of("7 (a) 1 2) S 1 7 7 0 -1 4194560 9 0 0 0 30 12 5 6 20 0 1 0 99"), Some(42));
        assert_eq!(ticks_of("7 (a) S 1"), None);
    }
}
