//! Processes that run files which turned bad: found by the inode of their executable, and ended where that is wanted.
//!
//! A script is run by its interpreter, whose file is another: its processes are not found.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use doorward_policy::Sha256;
use doorward_proto::limit::TURNED_PROCESSES_MAX;
use doorward_proto::report::{Fate, LiveProcess};
use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::executable::Search;
use super::history::Executed;
use super::mount::Mounts;
use super::{executable, process};
use crate::health::{FailureReason, Health};
use crate::identify::{Identifier, Identity, Inode};
use crate::system;

/// Walks through all processes, at most. Whoever forks faster than that is not caught by walking on.
const WALKS_MAX: usize = 16;
/// Pause before the second walk, so that it meets executions that were let through just before their file turned bad.
const SETTLE: Duration = Duration::from_millis(200);
/// The process without which there is no system.
const INIT: i32 = 1;

/// Whether processes of this file are to be ended that run this inode.
pub type IsToEnd<'a> = &'a dyn Fn(&Sha256, &Executed, &Identity) -> bool;

/// What looking through processes takes.
#[derive(Debug, Clone, Copy)]
pub struct Runners<'a> {
    /// Knows inodes by content.
    pub identifier: &'a Identifier,
    /// As this process sees them.
    pub mounts: &'a Mounts,
    /// Where failed kills are counted.
    pub health: &'a Health,
}

impl Runners<'_> {
    /// For each file the processes whose executable it is, as far as their inodes are known by content, and what became of them; at most
    /// [`TURNED_PROCESSES_MAX`] are told of one file. All that are to be ended are, told or not. Blocks for as long as the walks take.
    #[must_use]
    pub fn of(&self, files: &[(Sha256, Executed)], is_to_end: Option<IsToEnd<'_>>) -> Vec<Vec<LiveProcess>> {
        let mut walk = Walk::new(self, files, is_to_end);
        walk.go();
        if is_to_end.is_some() {
            std::thread::sleep(SETTLE);
            // A process that was ended may have had time to fork.
            let _ = (1..WALKS_MAX).find(|_| !walk.go());
        }
        walk.met
    }
}

struct Walk<'a> {
    runners: &'a Runners<'a>,
    files: &'a [(Sha256, Executed)],
    by_identity: HashMap<Identity, usize>,
    by_content: HashMap<Sha256, usize>,
    is_to_end: Option<IsToEnd<'a>>,
    /// Device and inode of our own program.
    own: Option<(u64, u64)>,
    /// Processes met already, by number and start.
    known: HashSet<(i32, u64)>,
    met: Vec<Vec<LiveProcess>>,
}

impl<'a> Walk<'a> {
    fn new(runners: &'a Runners<'a>, files: &'a [(Sha256, Executed)], is_to_end: Option<IsToEnd<'a>>) -> Self {
        let identities = files.iter().enumerate().flat_map(|(at, (_, executed))| executed.identities.iter().map(move |it| (*it, at)));
        Self {
            by_identity: identities.collect(),
            by_content: files.iter().enumerate().map(|(at, (file, _))| (*file, at)).collect(),
            own: std::fs::metadata("/proc/self/exe").ok().map(|own| (own.dev(), own.ino())),
            known: HashSet::new(),
            met: vec![Vec::new(); files.len()],
            runners,
            files,
            is_to_end,
        }
    }

    /// Looks at every process there is now; true when one was ended.
    fn go(&mut self) -> bool {
        let search = Search::new(self.runners.mounts);
        let mut has_ended = false;
        for pid in executable::running() {
            let Some((at, live)) = self.look(pid, &search) else { continue };
            has_ended |= live.fate == Fate::Killed;
            if self.met[at].len() < TURNED_PROCESSES_MAX {
                self.met[at].push(live);
            }
        }
        has_ended
    }

    /// The file that a process runs, and what became of the process; `None` when it was met before or runs none of them.
    fn look(&mut self, pid: i32, search: &Search<'_>) -> Option<(usize, LiveProcess)> {
        // SECURITY: the descriptor comes before the look at the executable. Should the number be given to another process in between, the
        // descriptor still stands for the one that is gone, and the signal reaches nobody.
        let descriptor = system::process::open(pid);
        let found = search.find(pid)?;
        let stat = fstat(&found).ok()?;
        // SECURITY: inode numbers are compared within one filesystem only. Processes of another mount namespace, whose filesystems this
        // host never read from, are met here too.
        let filesystem = self.runners.identifier.filesystems().id(stat.st_dev, &found).ok()?;
        let inode = Inode::of(filesystem, &stat).ok()?;
        let at = self.file_of(&inode)?;
        let facts = process::capture(pid, descriptor.as_ref());
        if !self.known.insert((pid, facts.start_ticks)) {
            return None;
        }
        let (file, executed) = &self.files[at];
        let is_spared = pid == INIT || self.own == Some((stat.st_dev, stat.st_ino));
        let is_to_end = !is_spared && self.is_to_end.is_some_and(|is_to_end| is_to_end(file, executed, &inode.identity));
        let fate = if is_to_end { self.end(descriptor.as_ref())? } else { Fate::Ran };
        Some((at, LiveProcess { process: facts, fate }))
    }

    fn file_of(&self, inode: &Inode) -> Option<usize> {
        let by_content = || {
            let known = self.runners.identifier.store().candidate(inode, None)?;
            self.by_content.get(&known.digests.sha256)
        };
        self.by_identity.get(&inode.identity).or_else(by_content).copied()
    }

    /// `None` when it ended by itself meanwhile.
    fn end(&self, process: Option<&std::os::fd::OwnedFd>) -> Option<Fate> {
        match process.map(system::process::kill) {
            Some(Ok(())) => Some(Fate::Killed),
            Some(Err(error)) if error.raw_os_error() == Some(Errno::ESRCH as i32) => None,
            Some(Err(_)) | None => {
                self.runners.health.note(FailureReason::KillFailed);
                Some(Fate::Ran)
            }
        }
    }
}

#[cfg(test)]
mod tests;
