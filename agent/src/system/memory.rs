//! How much memory this process ever had, and how little of it the C library's allocator keeps for itself.

use std::fs;

/// Arenas of the allocator; its own bound is eight for each core. Every arena keeps what its threads freed, and threads come and go here:
/// a scan starts four for each core.
///
/// PERF: a reference scan of 80,000 unresolved files took 115 MiB with the allocator's own bound and 88 MiB with one arena, and no more
/// processor time: threads free most of what they take from caches of their own.
const ARENAS_MAX: libc::c_int = 1;

/// Blocks of this size and above are mapped each for itself and leave the process when they are freed. Left alone the allocator raises
/// this to the largest block ever freed, up to 32 MiB, and so keeps room for everything that was large once.
const MAPPED_BYTES_MIN: libc::c_int = 256 << 10;

/// Keeps the allocator from holding on to freed memory. To be called before the first thread is started. False when the allocator does
/// not take it, which costs memory and nothing else.
#[cfg(target_env = "gnu")]
pub fn hold_on_to_little() -> bool {
    let set = |(parameter, value)| {
        // SAFETY: mallopt takes two numbers and keeps them; an unknown parameter or value is refused and changes nothing.
        #[expect(unsafe_code, reason = "the C library's allocator is told by a foreign function")]
        let taken = unsafe { libc::mallopt(parameter, value) };
        taken == 1
    };
    [(libc::M_ARENA_MAX, ARENAS_MAX), (libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)].into_iter().all(set)
}

/// Other C libraries have no such arenas.
#[cfg(not(target_env = "gnu"))]
pub fn hold_on_to_little() -> bool {
    true
}

/// Gives back to the kernel what was freed and not taken again. Costs milliseconds, in which other threads may wait for memory. Locked
/// memory stays where it is.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: malloc_trim takes the allocator's own locks and touches only what nobody holds.
    #[expect(unsafe_code, reason = "the C library's allocator is told by a foreign function")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries keep little.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

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

    fn resident_kib() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// A block that lies among the others, touched.
    fn block() -> Vec<u8> {
        vec![1; 64 << 10]
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn what_was_freed_between_blocks_that_stay_goes_back() {
        assert!(hold_on_to_little());
        let mut blocks: Vec<_> = (0..1_000).map(|_| block()).collect();
        let last = block();
        let full = resident_kib();
        blocks.clear();
        give_back();
        assert!(resident_kib() < full - 50_000, "{full} KiB -> {} KiB", resident_kib());
        drop(last);
    }

    #[test]
    fn the_kernel_tells_the_peak() {
        assert!(peak_mib() > 0.5);
        assert_eq!(peak_kib("Name:\tx\nVmHWM:\t  2048 kB\n"), Some(2048.0));
        assert_eq!(peak_kib("VmHWM: much"), None);
    }
}
