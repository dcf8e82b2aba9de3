//! Leaving the agent's control group: a guard that is frozen with the agent it guards is none.

use std::fs;
use std::path::PathBuf;

/// Mounts as this process sees them, see `proc_pid_mountinfo(5)`.
const MOUNTINFO: &str = "/proc/self/mountinfo";
/// File of a group that takes the numbers of processes to be moved into it; 0 is the writer.
const PROCESSES: &str = "cgroup.procs";

/// Moves this process to the top of the unified hierarchy, where nothing can be frozen, if there is one and it may. The other
/// hierarchies are left as they are: a process frozen by the old freezer cannot even be killed.
pub(super) fn leave() {
    let table = fs::read_to_string(MOUNTINFO).unwrap_or_default();
    if let Some(top) = top(&table) {
        // Refused, it stays where it is: a guard that may be frozen with its agent is still one against everything else.
        let _ = fs::write(top.join(PROCESSES), "0");
    }
}

/// Where the top of the unified hierarchy is mounted. Mount points with bytes that the table escapes are passed over.
fn top(mountinfo: &str) -> Option<PathBuf> {
    let unified = mountinfo.lines().filter(|line| line.contains(" - cgroup2 "));
    let mut places = unified.filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (root == "/" && !point.contains('\\')).then(|| PathBuf::from(point))
    });
    places.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_the_unified_hierarchy_is_found() {
        let table = "22 27 0:21 / /proc rw - proc proc rw\n\
                     30 27 0:26 /docker/1 /mnt/part rw - cgroup2 cgroup2 rw\n\
                     31 27 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(top(table), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(top("22 27 0:21 / /proc rw - proc proc rw\n"), None);
    }
}
