//! Who executed a file: facts of `/proc`, taken at once and held to the process they are about.
//!
//! Everything read here is text another program may choose (names of control groups, paths): bounded, kept as bytes, never
//! interpreted beyond its numbers. A process that is gone is told with what is known of it: its number.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use doorward_policy::PathBytes;
use doorward_proto::limit::NAME_BYTES_MAX;
use doorward_proto::report::Process;

use crate::system::process::is_alive;

/// Bytes read of one `/proc` file; the longest in question is a control group's path of at most 4096.
const PROC_FILE_BYTES_MAX: u64 = 16 * 1024;

/// Takes the facts of the process with this number. With a descriptor of it, they are dropped when it was gone by then, since the
/// number could name a successor; one that ended and was not yet waited for keeps its number.
#[must_use]
pub fn capture(pid: i32, process: Option<&OwnedFd>) -> Process {
    let facts = read(pid);
    let certain = process.is_some_and(|process| is_alive(process) || has_number(process));
    facts.filter(|_| certain).unwrap_or_else(|| gone(pid))
}

/// Whether the process still has its number: the kernel tells it with the descriptor until somebody waited for the process.
fn has_number(process: &OwnedFd) -> bool {
    let mut text = Vec::new();
    let told = File::open(format!("/proc/self/fdinfo/{}", process.as_raw_fd()));
    let is_read = told.and_then(|file| file.take(PROC_FILE_BYTES_MAX).read_to_end(&mut text)).is_ok();
    let number = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Pid:"));
    let number = number.and_then(|number| std::str::from_utf8(number).ok()?.trim().parse::<i32>().ok());
    is_read && number.is_some_and(|number| number > 0)
}

/// What is known of a process that was gone before anything could be read of it: not even whose it was.
fn gone(pid: i32) -> Process {
    Process {
        pid: pid.try_into().unwrap_or(0),
        start_ticks: 0,
        uid: None,
        parent_pid: 0,
        parent_path: None,
        parent_sha256: None,
        container: None,
    }
}

fn read(pid: i32) -> Option<Process> {
    let stat = Stat::parse(&proc_file(pid, "stat")?)?;
    let uid = effective_uid(&proc_file(pid, "status")?)?;
    let container = proc_file(pid, "cgroup").and_then(|text| container(&text));
    let parent_path = executable(stat.parent_pid);
    Some(Process {
        pid: pid.try_into().ok()?,
        start_ticks: stat.start_ticks,
        uid: Some(uid),
        parent_pid: stat.parent_pid.try_into().unwrap_or(0),
        parent_path,
        parent_sha256: None,
        container,
    })
}

/// The parent of a process.
pub(super) fn parent(pid: i32) -> Option<i32> {
    Some(Stat::parse(&proc_file(pid, "stat")?)?.parent_pid)
}

fn proc_file(pid: i32, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{name}")).ok()?.take(PROC_FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The text of a process's executable link. Not followed, so nothing can hold the reader.
fn executable(pid: i32) -> Option<PathBytes> {
    if pid <= 0 {
        return None;
    }
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    fs::read_link(link).ok().map(|path| PathBytes::new(path.into_os_string().into_vec()))
}

/// The two fields of `/proc/PID/stat` that name a process of this boot and its parent.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent_pid: i32,
    start_ticks: u64,
}

impl Stat {
    /// The second field is the command in parentheses and may hold any bytes, parentheses and newlines too: start after the last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let after = text.iter().rposition(|byte| *byte == b')')? + 1;
        let mut fields = std::str::from_utf8(&text[after..]).ok()?.split_ascii_whitespace();
        let parent_pid = fields.nth(1)?.parse().ok()?;
        let start_ticks = fields.nth(17)?.parse().ok()?;
        Some(Self { parent_pid, start_ticks })
    }
}

/// `Uid:` real, effective, saved, filesystem.
fn effective_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Container engines name a container's control group after its id of 64 hexadecimal digits, bare (`docker/<id>`,
/// `kubepods/.../<id>`) or decorated (`docker-<id>.scope`, `cri-containerd-<id>.scope`, `libpod-<id>.scope`); LXC and nspawn by name.
fn container(cgroup: &[u8]) -> Option<String> {
    cgroup.split(|byte| *byte == b'\n').find_map(|line| {
        let path = line.splitn(3, |byte| *byte == b':').nth(2)?;
        path.split(|byte| *byte == b'/').rev().find_map(container_id)
    })
}

fn container_id(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let bare = name.strip_suffix(".scope").unwrap_or(name);
    let last = bare.rsplit(['-', ':']).next().unwrap_or(bare);
    if last.len() == 64 && last.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(last.to_owned());
    }
    let named = bare.strip_prefix("lxc.payload.").or_else(|| bare.strip_prefix("machine-"))?;
    (!named.is_empty() && named.len() <= NAME_BYTES_MAX).then(|| named.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::system::process::open;

    #[test]
    fn our_own_child_is_told_with_its_parent() {
        let mut child = Command::new("/bin/sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = capture(pid, open(pid).as_ref());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.pid, child.id());
        assert_eq!(process.parent_pid, std::process::id());
        assert!(process.start_ticks > 0);
        let parent = std::env::current_exe().unwrap().into_os_string().into_vec();
        assert_eq!(process.parent_path, Some(PathBytes::new(parent)));
    }

    #[test]
    fn a_process_that_is_gone_is_only_a_number() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let descriptor = open(pid);
        child.wait().unwrap();
        assert_eq!(capture(pid, descriptor.as_ref()), gone(pid));
        assert_eq!(capture(pid, None), gone(pid));
    }

    #[test]
    fn a_process_that_ended_a_moment_ago_is_told_with_its_user() {
        let mut child = Command::new("/bin/true").uid(65_534).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let descriptor = open(pid).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while is_alive(&descriptor) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let process = capture(pid, Some(&descriptor));
        child.wait().unwrap();
        assert_eq!((process.uid, process.parent_pid), (Some(65_534), std::process::id()));
        assert!(process.start_ticks > 0);
        assert_eq!(capture(pid, Some(&descriptor)).uid, None, "its number may be another's by now");
    }

    #[test]
    fn facts_under_the_number_of_a_dead_process_are_not_believed() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let dead = open(i32::try_from(child.id()).unwrap());
        child.wait().unwrap();
        // Our own number stands for the successor that took over the dead one's.
        let ours = i32::try_from(std::process::id()).unwrap();
        assert_eq!(capture(ours, dead.as_ref()), gone(ours));
    }

    #[test]
    fn a_command_may_hold_anything() {
        let text = b"42 (a) b (c\n) R 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2\n";
        assert_eq!(Stat::parse(text), Some(Stat { parent_pid: 7, start_ticks: 987_654 }));
        for broken in [b"".as_slice(), b"42 (a", b"42 (a) R", b"42 (a) R x", b")"] {
            assert_eq!(Stat::parse(broken), None);
        }
    }

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(effective_uid(b"Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n"), Some(0));
        assert_eq!(effective_uid(b"Name:\tx\n"), None);
    }

    #[test]
    fn containers_are_known_by_their_control_group() {
        let id = "0123456789abcdef".repeat(4);
        let forms = [
            format!("0::/system.slice/docker-{id}.scope"),
            format!("12:pids:/docker/{id}"),
            format!("0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-{id}.scope"),
            format!("0::/kubepods/burstable/pod1/{id}"),
            format!("0::/machine.slice/libpod-{id}.scope/container"),
            format!("0::/k8s.io/cri-containerd:prefix:{id}"),
        ];
        for form in forms {
            assert_eq!(container(form.as_bytes()).as_deref(), Some(id.as_str()), "{form}");
        }
        assert_eq!(container(b"0::/lxc.payload.web/init.scope").as_deref(), Some("web"));
        assert_eq!(container(b"0::/user.slice/user-0.slice/session-1.scope"), None);
        assert_eq!(container(b"nonsense\n0:\xff:/\xff"), None);
    }
}
