//! How much memory this process ever had.

use std::fs;

/// The peak of resident memory in MiB (`VmHWM`); 0 where `/proc` does not tell.
#[must_use]
pub fn peak_mib() -> f64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|status| peak_kib(&status)).map_or(0.0, |kib| kib / 1024.0)
}

fn peak_kib(status: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_the_peak() {
        assert!(peak_mib() > 0.5);
        assert_eq!(peak_kib("Name:\tx\nVmHWM:\t  2048 kB\n"), Some(2048.0));
        assert_eq!(peak_kib("VmHWM: much"), None);
    }
}
