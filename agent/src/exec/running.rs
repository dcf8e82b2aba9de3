//! Processes that run already: judged once when watching starts.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use doorward_service::Clock;

use super::held::Target;
use super::line::Line;
use super::mount::Mounts;
use super::reader::{Manner, Sighting};
use super::{Counters, executable};
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
