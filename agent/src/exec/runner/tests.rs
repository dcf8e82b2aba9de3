//! Real processes of copied programs, ended or left alone.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;

use doorward_policy::Evidence;
use doorward_service::Clock;

use super::*;
use crate::exec::mount::MOUNTINFO;
use crate::identify::{IdentityStore, Limits};
use crate::judge::Trouble;
use crate::system::entropy;

const ALWAYS: IsToEnd<'static> = &|_, _, _| true;

struct TestHost {
    folder: tempfile::TempDir,
    identifier: Identifier,
    mounts: Mounts,
    health: Health,
}

impl TestHost {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            identifier: Identifier::new(Arc::new(IdentityStore::in_memory(entropy::fill)), Clock::system(), Limits::default()),
            mounts: Mounts::read(Path::new(MOUNTINFO)).unwrap(),
            health: Health::default(),
        }
    }

    /// A copy of a program that sleeps.
    fn sleeper(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        fs::copy("/bin/sleep", &path).unwrap();
        path
    }

    /// As it is remembered of an execution.
    fn executed(&self, program: &Path) -> (Sha256, Executed) {
        let file = File::open(program).unwrap();
        let stat = fstat(&file).unwrap();
        let identity = Identity::of(self.identifier.filesystems().id(stat.st_dev, &file).unwrap(), &stat);
        let (paths, identities, evidence) = (Vec::new(), vec![identity], Evidence::default());
        let executed = Executed { paths, identities, evidence, last_executed_at: 1, trouble: Trouble::Denied };
        (Sha256::new([u8::try_from(stat.st_ino % 251).unwrap(); 32]), executed)
    }

    fn of(&self, files: &[(Sha256, Executed)], is_to_end: Option<IsToEnd<'_>>) -> Vec<Vec<(u32, Fate)>> {
        let runners = Runners { identifier: &self.identifier, mounts: &self.mounts, health: &self.health };
        let told = |live: Vec<LiveProcess>| live.into_iter().map(|live| (live.process.pid, live.fate)).collect();
        runners.of(files, is_to_end).into_iter().map(told).collect()
    }
}

/// A started program; ended when dropped.
struct Running(Child);

impl Running {
    fn start(program: &Path) -> Self {
        let child = Command::new(program).arg("60").spawn().unwrap();
        let running = Self(child);
        let link = format!("/proc/{}/exe", running.0.id());
        while fs::read_link(&link).unwrap() != program {
            std::thread::yield_now();
        }
        running
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_of_a_file_are_ended_and_those_of_its_copy_elsewhere_are_not() {
    let host = TestHost::new();
    let (bad, copy) = (host.sleeper("bad"), host.sleeper("copy"));
    let (mut first, mut second, mut bystander) = (Running::start(&bad), Running::start(&bad), Running::start(&copy));
    let mut told = host.of(&[host.executed(&bad)], Some(ALWAYS)).remove(0);
    told.sort_by_key(|(pid, _)| *pid != first.pid());
    assert_eq!(told, [(first.pid(), Fate::Killed), (second.pid(), Fate::Killed)]);
    for running in [&mut first, &mut second] {
        assert_eq!(running.0.wait().unwrap().signal(), Some(9));
    }
    assert!(bystander.is_alive(), "nobody knows what is in that inode");
    assert_eq!(host.health.count(FailureReason::KillFailed), 0);
}

#[test]
fn nothing_is_ended_unless_it_is_wanted() {
    let host = TestHost::new();
    let programs = [host.sleeper("one"), host.sleeper("two")];
    let mut running = programs.each_ref().map(|program| Running::start(program));
    let files = programs.each_ref().map(|program| host.executed(program));
    let all_run = running.each_ref().map(|running| vec![(running.pid(), Fate::Ran)]);
    assert_eq!(host.of(&files, None), all_run);
    assert_eq!(host.of(&files, Some(&|_, _, _| false)), all_run);
    let identity = files[1].1.identities[0];
    let told = host.of(&files, Some(&|_, _, inode| *inode == identity));
    assert_eq!(told, [vec![(running[0].pid(), Fate::Ran)], vec![(running[1].pid(), Fate::Killed)]]);
    assert!(running[0].is_alive());
}

#[test]
fn an_inode_of_the_same_number_on_another_filesystem_is_another_file() {
    let host = TestHost::new();
    let program = host.sleeper("bad");
    let mut running = Running::start(&program);
    let (file, mut executed) = host.executed(&program);
    executed.identities[0].filesystem.0 ^= 1;
    assert_eq!(host.of(&[(file, executed)], Some(ALWAYS)), [vec![]]);
    assert!(running.is_alive());
}

#[test]
fn the_agent_never_ends_itself() {
    let host = TestHost::new();
    let own = host.executed(&std::env::current_exe().unwrap());
    // Other tests run the same program at the same time.
    let told = host.of(&[own], Some(ALWAYS)).remove(0);
    assert!(told.contains(&(std::process::id(), Fate::Ran)) && told.iter().all(|(_, fate)| *fate == Fate::Ran), "{told:?}");
}
