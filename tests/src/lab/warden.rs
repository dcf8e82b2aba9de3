//! Watches an agent from outside and kills it as soon as it has a mark on a filesystem or a mount of the machine.
//!
//! It opens nothing but `/proc`, which cannot be marked for permission events, and starts no program: it works while executions
//! are held. The kernel lists every mark of a group in the group's `fdinfo`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespace::foreign;

const ROUND: Duration = Duration::from_millis(25);

/// `FAN_OPEN_EXEC_PERM | FAN_OPEN_PERM`: whoever has one of them in a mark holds others up.
const PERMISSION_MASK: u64 = 0x0005_0000;

/// `FAN_OPEN_PERM`.
const OPEN_MASK: u64 = 0x0001_0000;

/// A thread that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Warden {
    over: Arc<AtomicBool>,
    trespassed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A mark on more than one file.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    on: Marked,
    mask: u64,
}

/// What is marked.
#[derive(Debug, PartialEq, Eq)]
enum Marked {
    /// By its device, as in `254:0`.
    Filesystem(String),
    /// By its number in the mount table.
    Mount(u64),
}

impl Warden {
    /// Starts watching a process.
    pub(super) fn watch(pid: u32) -> Self {
        let (over, trespassed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (ended, guilty) = (Arc::clone(&over), Arc::clone(&trespassed));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if marks(pid).iter().any(is_foreign) {
                    let _ = kill(Pid::from_raw(i32::try_from(pid).expect("a process id")), Signal::SIGKILL);
                    guilty.store(true, Ordering::Relaxed);
                    eprintln!("the agent marked a filesystem or mount of the machine and was killed");
                    return;
                }
                thread::sleep(ROUND);
            }
        });
        Self { over, trespassed, thread: Some(thread) }
    }

    /// Whether it had to kill.
    pub(super) fn has_killed(&self) -> bool {
        self.trespassed.load(Ordering::Relaxed)
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        assert!(thread::panicking() || !self.has_killed(), "the agent marked a filesystem or mount of the machine");
    }
}

/// Whether a process holds others up when they execute or open.
pub(super) fn holds_executions(pid: u32) -> bool {
    marks(pid).iter().any(|mark| mark.mask & PERMISSION_MASK != 0)
}

/// Whether a process holds others up when they open.
pub(super) fn holds_opens(pid: u32) -> bool {
    marks(pid).iter().any(|mark| mark.mask & OPEN_MASK != 0)
}

/// Whether a process asked the kernel not to tell it of executions of a file, by its inode number, on whatever filesystem.
pub(super) fn ignores(pid: u32, inode: u64) -> bool {
    lines(pid).iter().filter_map(|line| ignored(line)).any(|ignored| ignored == inode)
}

/// Whether a process is told of anything on whole filesystems or mounts.
pub(super) fn has_marks(pid: u32) -> bool {
    !marks(pid).is_empty()
}

/// Whether the machine's own mount table, as it is now, has what is marked.
fn is_foreign(mark: &Mark) -> bool {
    match &mark.on {
        Marked::Filesystem(device) => foreign().is_ok_and(|foreign| foreign.contains(device)),
        Marked::Mount(id) => {
            let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            table.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).any(|mount| mount == *id)
        }
    }
}

/// Marks on filesystems and mounts in all groups of a process.
fn marks(pid: u32) -> Vec<Mark> {
    lines(pid).iter().filter_map(|line| mark(line)).collect()
}

fn lines(pid: u32) -> Vec<String> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return Vec::new() };
    let texts = descriptors.flatten().filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// `fanotify ino:2b sdev:fe00000 mflags:200 mask:8 ignored_mask:40000 fhandle-bytes:8 …`: the inode of a mark that ignores executions.
fn ignored(line: &str) -> Option<u64> {
    let mut fields = line.strip_prefix("fanotify ino:")?.split(' ');
    let inode = u64::from_str_radix(fields.next()?, 16).ok()?;
    let mask = u64::from_str_radix(fields.find_map(|field| field.strip_prefix("ignored_mask:"))?, 16).ok()?;
    (mask & PERMISSION_MASK != 0).then_some(inode)
}

/// `fanotify sdev:fe00000 mflags:0 mask:1000 ignored_mask:0`, or `fanotify mnt_id:5e mflags:0 ...`: see `proc_pid_fdinfo(5)`.
fn mark(line: &str) -> Option<Mark> {
    let mut fields = line.strip_prefix("fanotify ")?.split(' ');
    let (kind, number) = fields.next()?.split_once(':')?;
    let number = u64::from_str_radix(number, 16).ok()?;
    let on = match kind {
        "sdev" => Marked::Filesystem(format!("{}:{}", number >> 20, number & 0xf_ffff)),
        "mnt_id" => Marked::Mount(number),
        _ => return None,
    };
    let mask = fields.find_map(|field| field.strip_prefix("mask:"))?;
    Some(Mark { on, mask: u64::from_str_radix(mask, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_on_filesystems_and_mounts_are_told_from_those_on_files() {
        let whole = mark("fanotify sdev:fe00000 mflags:0 mask:40000 ignored_mask:0").unwrap();
        assert_eq!(whole, Mark { on: Marked::Filesystem("254:0".into()), mask: 0x40000 });
        assert!(whole.mask & PERMISSION_MASK != 0);
        let other = mark("fanotify sdev:700001 mflags:0 mask:1000 ignored_mask:0").unwrap();
        assert_eq!(other.on, Marked::Filesystem("7:1".into()));
        let mount = mark("fanotify mnt_id:5e mflags:0 mask:50000 ignored_mask:0").unwrap();
        assert_eq!(mount, Mark { on: Marked::Mount(94), mask: 0x50000 });
        assert!(!is_foreign(&Mark { on: Marked::Mount(u64::MAX), mask: 0 }));
        assert_eq!(mark("fanotify ino:2b sdev:fe00000 mflags:200 mask:0 ignored_mask:1000 fhandle-bytes:8"), None);
        assert_eq!(mark("fanotify flags:0 event-flags:8000"), None);
    }

    #[test]
    fn files_whose_executions_are_ignored_are_known_by_their_inode() {
        assert_eq!(ignored("fanotify ino:2b sdev:fe00000 mflags:200 mask:8 ignored_mask:40000 fhandle-bytes:8"), Some(0x2b));
        assert_eq!(ignored("fanotify ino:2b sdev:fe00000 mflags:200 mask:8 ignored_mask:0 fhandle-bytes:8"), None);
        assert_eq!(ignored("fanotify sdev:fe00000 mflags:0 mask:40000 ignored_mask:40000"), None);
    }

    #[test]
    fn every_mount_of_the_machine_is_known_as_the_machines() {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let id = table.split(' ').next().unwrap().parse().unwrap();
        assert!(is_foreign(&Mark { on: Marked::Mount(id), mask: 0x50000 }));
    }

    #[test]
    fn this_process_has_no_marks() {
        assert_eq!(marks(std::process::id()), Vec::new());
    }
}
