//! Where figures were measured, and what was done to the machine for it.

use std::fmt;
use std::fs;

use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;
use serde::Serialize;

/// The machine, as far as it moves figures.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processor's name.
    pub cpu: String,
    /// Threads that run at once.
    pub cores: usize,
    /// Of memory.
    pub memory_mib: u64,
    /// Release.
    pub kernel: String,
    /// What was measured and how, in sentences.
    pub notes: Vec<String>,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        Self {
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: sysinfo().map_or(0, |info| info.ram_total() / (1024 * 1024)),
            kernel: uname().map_or_else(|_| String::new(), |name| name.release().to_string_lossy().into_owned()),
            notes: Vec::new(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}, {} cores, {} MiB, Linux {}", self.cpu, self.cores, self.memory_mib, self.kernel)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

/// The kernel's load averages, of one, five and fifteen minutes.
pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
