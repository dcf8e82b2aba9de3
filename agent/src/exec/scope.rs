//! Whose processes the second sensor looks after: those of one control group and everything below it.
//!
//! The marks know only the file systems this program can see; the sensor hears of every process of the kernel. On a host of its own
//! that is right. Where an agent is tried out beside the machine it runs on, it must leave the machine alone.

use std::fs::File;
use std::io::Read;

/// The group of everybody.
const WHOLE_HOST: &str = "/";
/// Bytes read of `/proc/PID/cgroup`; the path is at most 4096 long, and older hosts list a dozen hierarchies.
const CGROUP_BYTES_MAX: u64 = 64 * 1024;

/// A control group by its path in the unified hierarchy, as `/proc/PID/cgroup` has it after `0::`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope(String);

impl Scope {
    pub(super) fn new(control_group: &str) -> Self {
        Self(control_group.to_owned())
    }

    /// Whether a process is in it; one that is gone is not.
    pub(super) fn holds(&self, pid: i32) -> bool {
        self.0 == WHOLE_HOST || read(pid).is_some_and(|text| self.holds_line(&text))
    }

    fn holds_line(&self, cgroup: &[u8]) -> bool {
        let path = cgroup.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"));
        let below = path.and_then(|path| path.strip_prefix(self.0.as_bytes()));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

fn read(pid: i32) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/cgroup")).ok()?.take(CGROUP_BYTES_MAX).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_what_is_below_it_and_nothing_beside() {
        let scope = Scope::new("/lab");
        for inside in ["0::/lab\n", "9:name=systemd:/\n0::/lab/agent\n"] {
            assert!(scope.holds_line(inside.as_bytes()), "{inside}");
        }
        for outside in ["0::/\n", "0::/laboratory\n", "0::/other/lab\n", "1:name=systemd:/lab\n", ""] {
            assert!(!scope.holds_line(outside.as_bytes()), "{outside}");
        }
    }

    #[test]
    fn the_whole_host_is_everybody() {
        let ours = i32::try_from(std::process::id()).unwrap();
        assert!(Scope::new("/").holds(ours));
        assert!(!Scope::new("/nobody is in here").holds(ours));
    }
}
