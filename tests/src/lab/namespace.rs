//! The lab's mount namespace: made by a thread that leaves the machine's, and kept alive by an open descriptor alone.
//!
//! When the descriptor and the last process in it are gone, the kernel unmounts everything, however the test ended.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, chdir, pivot_root};

/// Longest the processes of a lab take to be gone after SIGKILL.
const KILL_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A mount namespace whose root is the lab's. Dropping it kills every process in it.
#[derive(Debug)]
pub(super) struct Namespace {
    file: File,
    /// As in `mnt:[4026532177]`.
    name: PathBuf,
}

impl Namespace {
    /// Mounts the device as the root of a new namespace. `point` is an empty folder of the machine, used for a moment.
    ///
    /// # Errors
    /// What could not be mounted, or which filesystem of the machine could be seen from inside.
    pub(super) fn open(device: &str, point: &Path) -> Result<Self> {
        let foreign = foreign()?;
        thread::scope(|scope| scope.spawn(|| inside(device, point, &foreign)).join().expect("the thread says how it ended"))
    }

    /// By which another process of the machine can open it, as long as this one lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// Every process in it, agents and their guards included.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        numbers.filter(|pid| fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|name| name == self.name)).map(Pid::from_raw).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deadline = Instant::now() + KILL_DEADLINE;
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            for pid in &processes {
                let _ = kill(*pid, Signal::SIGKILL);
            }
            if Instant::now() > deadline {
                eprintln!("processes of a lab did not end: {processes:?}");
                return;
            }
            thread::sleep(POLL);
        }
    }
}

/// Runs on a thread of its own: leaving the machine's mounts is for the thread alone and ends with it.
fn inside(device: &str, point: &Path, foreign: &BTreeSet<String>) -> Result<Namespace> {
    let (none, quiet) = (None::<&str>, MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace of its own")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("private propagation")?;
    mount(Some(device), point, Some("ext4"), MsFlags::empty(), none).with_context(|| format!("mounting {device}"))?;
    chdir(point)?;
    pivot_root(".", "old").context("pivot_root")?;
    chdir("/")?;
    umount2("/old", MntFlags::MNT_DETACH).context("leaving the machine's root")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).context("/proc")?;
    // Without it no disk is known to be the lab's own, and nothing is remembered of any file.
    fs::create_dir_all("/sys")?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), quiet | MsFlags::MS_RDONLY, none).context("/sys")?;
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), quiet, Some("mode=1777,size=256m")).context("/tmp")?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), quiet, Some("mode=755,size=64m")).context("/run")?;
    let seen = fs::read_to_string("/proc/thread-self/mountinfo")?;
    check(&seen, foreign)?;
    let name = fs::read_link("/proc/thread-self/ns/mnt")?;
    Ok(Namespace { file: File::open("/proc/thread-self/ns/mnt")?, name })
}

/// That no filesystem of the machine can be seen in a mount table.
///
/// SECURITY: a permission mark belongs to the filesystem, not to the mount. One mount of the machine's root in here, of whatever
/// folder, and the machine would wait for the agent under test.
pub(super) fn check(mountinfo: &str, foreign: &BTreeSet<String>) -> Result<()> {
    // The kernel has one sysfs and one tree of control groups for all; they hold no programs and are never marked.
    let is_for_all = |line: &&str| line.contains(" - sysfs ") || line.contains(" - cgroup2 ");
    let own = devices(&mountinfo.lines().filter(|line| !is_for_all(line)).map(|line| format!("{line}\n")).collect::<String>());
    ensure!(!own.is_empty(), "the lab's mount table is empty");
    let shared: Vec<_> = own.intersection(foreign).collect();
    ensure!(shared.is_empty(), "the lab sees filesystems of the machine, {shared:?}:\n{mountinfo}");
    Ok(())
}

/// The machine's filesystems, as the test sees them now. Read it late: numbers of what was unmounted are used again.
pub(super) fn foreign() -> Result<BTreeSet<String>> {
    Ok(devices(&fs::read_to_string("/proc/self/mountinfo").context("the machine's mount table")?))
}

/// The devices of a mount table, as in `254:0`.
fn devices(mountinfo: &str) -> BTreeSet<String> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n22 27 0:21 / /proc rw - proc proc rw\n";
    const LAB: &str = "90 80 7:0 / / rw - ext4 /dev/loop0 rw\n91 90 0:50 / /proc rw - proc proc rw\n";

    #[test]
    fn a_table_without_the_machine_passes() {
        check(LAB, &devices(MACHINE)).unwrap();
        let machine = format!("{MACHINE}23 27 0:22 / /sys rw - sysfs sysfs rw\n");
        check(&format!("{LAB}93 90 0:22 / /sys ro - sysfs sysfs rw\n"), &devices(&machine)).unwrap();
    }

    #[test]
    fn one_folder_of_the_machine_anywhere_is_refused() {
        let bound = format!("{LAB}92 90 254:0 /srv /mnt rw - ext4 /dev/vda rw\n");
        assert!(check(&bound, &devices(MACHINE)).unwrap_err().to_string().contains("254:0"));
        assert!(check("", &devices(MACHINE)).is_err(), "a table that could not be read proves nothing");
    }
}
