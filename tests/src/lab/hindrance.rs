//! What stands in an agent's way: a tracer that stops one of its threads, a filesystem whose server never answers, a group that
//! freezes it, a limit of descriptors it has reached.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::image::done;
use super::process::Process;
use super::root::Lab;
use crate::site::eventually;

/// Printed once it stands in the way.
const READY: &str = "ready";
/// Bytes of one request of the kernel to a server in user space; below this it refuses to be read.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// How long a group is kept busy with its processes after they were killed.
const PAUSE: Duration = Duration::from_millis(10);

/// Stops one thread and keeps it so until it or this process is killed.
pub(super) fn trace(thread: i32) -> Result<()> {
    let thread = Pid::from_raw(thread);
    ptrace::seize(thread, ptrace::Options::empty()).context("attaching")?;
    ptrace::interrupt(thread).context("stopping")?;
    waitpid(thread, Some(WaitPidFlag::__WALL)).context("waiting for it to stop")?;
    ready()?;
    // A thread that was killed is not gone before its tracer has heard of it.
    while !matches!(waitpid(thread, Some(WaitPidFlag::__WALL)), Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_)) {}
    Ok(())
}

/// Mounts a filesystem and reads every request about it without ever answering one.
pub(super) fn serve_nothing(point: &Path) -> Result<()> {
    fs::create_dir_all(point)?;
    let mut requests = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
    let options = format!("fd={},rootmode=40755,user_id=0,group_id=0,allow_other", requests.as_raw_fd());
    mount(Some("lab"), point, Some("fuse"), MsFlags::empty(), Some(options.as_str())).context("mounting")?;
    ready()?;
    let mut request = vec![0; REQUEST_BYTES_MAX];
    loop {
        let _ = requests.read(&mut request).context("the mount is gone")?;
    }
}

fn ready() -> io::Result<()> {
    println!("{READY}");
    io::stdout().flush()
}

impl Lab {
    /// Stops one thread of a process for as long as what is returned lives.
    ///
    /// # Panics
    /// When it cannot be stopped.
    #[must_use]
    pub fn stopped_thread(&self, thread: i32) -> Process {
        self.hindrance(&["trace", &thread.to_string()])
    }

    /// Mounts a filesystem whose server never answers, for as long as what is returned lives.
    ///
    /// # Errors
    /// Why there can be none here.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn dead_server(&self, point: &str) -> Result<Process, String> {
        let kinds = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !kinds.lines().any(|line| line.trim_start_matches("nodev").trim() == "fuse") {
            return Err("this kernel knows no FUSE".to_owned());
        }
        Ok(self.hindrance(&["serve-nothing", point]))
    }

    fn hindrance(&self, arguments: &[&str]) -> Process {
        let mut process = self.errand(None, arguments, b"");
        eventually(&format!("doorward-lab {} is ready", arguments.join(" ")), || {
            let ended = process.within(Duration::ZERO);
            assert!(ended.is_none(), "{ended:?}");
            (process.printed().trim() == READY).then_some(())
        });
        process
    }

    /// Mounts the unified hierarchy of control groups where programs look for it.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount_control_groups(&self) {
        self.do_errand(&["mount", "cgroup2", "", "/sys/fs/cgroup"], b"");
    }
}

/// A control group of the unified hierarchy, apart from all others. Dropping it thaws and removes it.
#[derive(Debug)]
pub struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Makes one.
    ///
    /// # Errors
    /// Why there can be none here.
    pub fn new() -> Result<Self, String> {
        let table = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
        let unified = table.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let unified = unified.ok_or("there is no unified hierarchy of control groups")?;
        let group = Path::new(unified).join(format!("doorward-test-{}", std::process::id()));
        fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        let group = Self(group);
        if !group.0.join("cgroup.freeze").exists() {
            return Err("control groups cannot be frozen here".to_owned());
        }
        Ok(group)
    }

    /// Moves a process into it; what it starts from then on is in it too.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process can be moved");
    }

    /// Stops everything in it.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn freeze(&self) {
        fs::write(self.0.join("cgroup.freeze"), "1").expect("a group can be frozen");
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.freeze"), "0");
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
    }
}

/// How often the descriptors of a process must be found the same, one after the other, before they count as all it needs.
const LOOKS: usize = 5;

/// Leaves a running process so many descriptors beside those it has open when it does nothing, and gives its limit as it was.
///
/// # Errors
/// Why that cannot be done here.
///
/// # Panics
/// When it is gone, or never does nothing.
pub fn leave_descriptors(pid: u32, left: usize) -> Result<usize, String> {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return Err("prlimit is not installed".to_owned());
    }
    let open = eventually("its descriptors stay the same", || {
        let first = open_descriptors(pid);
        let is_same = |_| {
            std::thread::sleep(PAUSE);
            open_descriptors(pid) == first
        };
        (0..LOOKS).all(is_same).then_some(first.clone())
    });
    // The limit is one of numbers, and there are gaps among those in use.
    let limit = (0..).find(|limit| limit - open.iter().filter(|number| *number < limit).count() == left).expect("numbers go on");
    let before = descriptor_limit(pid);
    limit_descriptors(pid, limit);
    Ok(before)
}

/// Limits the descriptors of a running process.
///
/// # Panics
/// When it is gone.
pub fn limit_descriptors(pid: u32, limit: usize) {
    done(Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={limit}:")]));
}

fn open_descriptors(pid: u32) -> Vec<usize> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process");
    let mut open: Vec<_> = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    open.sort_unstable();
    open
}

fn descriptor_limit(pid: u32) -> usize {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("a running process");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("every process has this limit");
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).expect("a number")
}
