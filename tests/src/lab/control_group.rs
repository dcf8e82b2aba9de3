//! The lab's control group: everything that runs in the lab is in it, wherever it goes and whatever it becomes, and the agent in the
//! lab looks after nothing else. Processes of the machine are neither judged nor ended by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longest processes take to be gone after the group was killed.
const KILL_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A control group (version 2) below the test's own. Dropping it kills everything in it.
#[derive(Debug)]
pub(super) struct ControlGroup {
    folder: PathBuf,
    /// As in `/proc/PID/cgroup`, after `0::`.
    path: String,
}

impl ControlGroup {
    /// # Errors
    /// Why there are none to be had here.
    pub(super) fn new() -> Result<Self, String> {
        let (point, own) = place().ok_or("control groups of version 2 are not mounted")?;
        let name = format!("doorward-lab-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = format!("{}/{name}", own.trim_end_matches('/'));
        let folder = point.join(path.trim_start_matches('/'));
        fs::create_dir(&folder).map_err(|error| format!("a control group cannot be made in {}: {error}", folder.display()))?;
        Ok(Self { folder, path })
    }

    /// Where a process's number is written to bring it in.
    pub(super) fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Numbers of the processes in it.
    pub(super) fn processes(&self) -> Vec<i32> {
        let numbers = fs::read_to_string(self.entrance()).unwrap_or_default();
        numbers.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
        let deadline = Instant::now() + KILL_DEADLINE;
        while let Err(error) = remove(&self.folder) {
            if Instant::now() > deadline {
                eprintln!("{} cannot be removed: {error}", self.folder.display());
                return;
            }
            thread::sleep(POLL);
        }
    }
}

/// Removes a group and those that were made in it; files in there are the kernel's and go with it.
fn remove(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten().filter(|entry| entry.path().is_dir()) {
        remove(&entry.path())?;
    }
    fs::remove_dir(folder)
}

/// Where control groups are mounted, and this process's own among them.
fn place() -> Option<(PathBuf, String)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    let point = Path::new(mount.split(' ').nth(4)?).to_owned();
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    Some((point, own.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned()))
}
