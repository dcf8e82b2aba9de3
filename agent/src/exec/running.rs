//! Processes that run already: judged once when watching starts, and searched when a file turns bad.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use doorward_policy::Sha256;
use doorward_proto::limit::TURNED_PROCESSES_MAX;
use doorward_proto::report::Process;
use doorward_service::Clock;
use nix::sys::stat::fstat;

use super::held::Target;
use super::history::History;
use super::line::Line;
use super::mount::Mounts;
use super::reader::{Manner, Sighting};
use super::{Counters, executable, process};
use crate::identify::{Identifier, Inode};
use crate::system;

/// Puts one sighting of every executable that runs now on the queue, waiting for room; ends early when the queue is closed.
pub(super) fn catch_up(queue: &Line, counters: &Counters, mounts: &Mounts, clock: &Clock, own_pid: i32) {
    let mut seen = HashSet::new();
    let search = executable::Search::new(mounts);
    for pid in executable::running().into_iter().filter(|pid| *pid != own_pid) {
        let process = system::process::open(pid);
        let Some(found) = search.find(pid) else { continue };
        let is_new = found.metadata().is_ok_and(|inode| seen.insert((inode.dev(), inode.ino())));
        let Some(file) = is_new.then(|| executable::open_for_reading(&found)).flatten() else { continue };
        let sighting = Sighting {
            target: Target::Open(file),
            given: None,
            manner: Manner::Told,
            user: 0,
            pid,
            process,
            observed_at: clock.now_micros(),
        };
        if !queue.put(sighting) {
            return;
        }
        counters.seen.fetch_add(1, Ordering::Relaxed);
    }
}

/// Processes whose executable is this file, as far as their inodes are known by content. At most [`TURNED_PROCESSES_MAX`].
#[must_use]
pub fn processes_of(file: &Sha256, history: &History, identifier: &Identifier, mounts: &Mounts) -> Vec<Process> {
    let identities = history.of(file).map(|executed| executed.identities).unwrap_or_default();
    let search = executable::Search::new(mounts);
    let runs = |pid: i32| -> Option<Process> {
        let process = system::process::open(pid);
        let found = search.find(pid)?;
        let stat = fstat(&found).ok()?;
        let inode = Inode::of(identifier.filesystems().id(stat.st_dev, &found).ok()?, &stat).ok()?;
        let is_file = identities.contains(&inode.identity)
            || identifier.store().candidate(&inode, false).is_some_and(|known| known.digests.sha256 == *file);
        is_file.then(|| process::capture(pid, process.as_ref()))
    };
    executable::running().into_iter().filter_map(runs).take(TURNED_PROCESSES_MAX).collect()
}
