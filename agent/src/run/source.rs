//! Reports the files of a package or publisher that a list denied, which this host had settled by itself. One source at a time, each
//! request once; what a kill cuts short the CMS asks for again, and takes files it has already for what they are.
//!
//! dpkg's own lists say where a package's files lie, and most of them are known by their inodes; only where nobody can tell is the whole
//! file system gone through.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_policy::{PackageManager, PathBytes};
use doorward_proto::report::Source;
use nix::sys::stat::{SFlag, fstat};
use uuid::Uuid;

use super::agent::Agent;
use super::command::{Commands, sleep};
use super::scan::{Current, Purpose};
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::exec::walk::walk;
use crate::scan::ScanError;

/// Requests that wait or are worked on; the CMS sends no more at a time.
const REQUESTS_MAX: usize = 32;
/// Files looked at in one go: each is a descriptor for that long.
const FILES_AT_ONCE: usize = 64;

/// How long a request waits for another scan to end, where the whole file system must be gone through.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(3600);
/// How often it is looked whether it did.
const SCAN_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the CMS asked for and has no answer to yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: Mutex<BTreeSet<Uuid>>,
    turn: tokio::sync::Mutex<()>,
}

impl Requests {
    /// Takes a request; false for one that is there already, since the CMS repeats what it has no answer to, and for one too many.
    pub(super) fn take(&self, id: Uuid) -> bool {
        let mut waiting = self.waiting();
        if waiting.len() >= REQUESTS_MAX && !waiting.contains(&id) {
            tracing::warn!("too many sources are to be reported at once; this one will be asked for again");
            return false;
        }
        waiting.insert(id)
    }

    fn answered(&self, id: &Uuid) {
        self.waiting().remove(id);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<Uuid>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commands {
    /// Reports the files a source claims and says so.
    pub(super) async fn report_source(&self, id: Uuid, source: Source) {
        let requests = Arc::clone(&self.requests);
        let turn = requests.turn.lock().await;
        let cancel = self.lifecycle.cancel();
        if cancel.is_cancelled() {
            return;
        }
        let agent = Arc::clone(&self.agent);
        let asked = source.clone();
        let paths = tokio::task::spawn_blocking(move || paths(&agent, &asked)).await.unwrap_or_default();
        let outcome = match paths {
            Some(paths) => self.report_paths(&source, paths).await,
            None => self.report_everywhere(&source).await,
        };
        drop(turn);
        requests.answered(&id);
        // Cut short by the daemon's own end, it is asked for again.
        if !cancel.is_cancelled() {
            self.uplink.finished(id, outcome);
        }
    }

    async fn report_paths(&self, source: &Source, paths: Vec<PathBytes>) -> Result<(), String> {
        let current = Current::default();
        for paths in paths.chunks(FILES_AT_ONCE) {
            self.run(&current, Purpose::Source(source.clone(), paths.to_vec())).await.map_err(|error| error.to_string())?;
        }
        tracing::info!(source = name(source), files = current.progress.reading().unresolved, "told the CMS of the files of a source");
        Ok(())
    }

    /// Goes through the whole file system, once no other scan is under way.
    async fn report_everywhere(&self, source: &Source) -> Result<(), String> {
        let cancel = self.lifecycle.cancel();
        let deadline = tokio::time::Instant::now() + SCAN_WAIT_MAX;
        let place = loop {
            if let Some(place) = self.agent.scans.begin(None) {
                break place;
            }
            if cancel.is_cancelled() || tokio::time::Instant::now() > deadline {
                return Err("another scan did not end in time; ask again".into());
            }
            sleep(SCAN_LOOK_INTERVAL, &cancel).await;
        };
        let outcome = self.run(&place.current.clone(), Purpose::Source(source.clone(), Vec::new())).await;
        self.log_end(&outcome);
        outcome.map(drop).map_err(|error: ScanError| error.to_string())
    }
}

/// Where the regular files of a package lie; `None` when nobody can tell. Blocks.
fn paths(agent: &Agent, source: &Source) -> Option<Vec<PathBytes>> {
    let Source::Package(package) = source else { return None };
    let claimed = match package.manager {
        PackageManager::Dpkg => agent.judge.trust().paths_of(&package.name)?,
        PackageManager::Rpm => return None,
    };
    let root = agent.settings.root.canonicalize().ok()?;
    let mounts = Mounts::read(Path::new(MOUNTINFO)).ok()?;
    let is_file = |path: &PathBytes| {
        let root = root.as_os_str().as_bytes();
        let below_root = [root.strip_suffix(b"/").unwrap_or(root), path.as_bytes()].concat();
        let place = walk(&below_root, &mounts).ok();
        place.and_then(|place| fstat(&place.file).ok()).is_some_and(|stat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits())
    };
    Some(claimed.into_iter().filter(is_file).collect())
}

fn name(source: &Source) -> &str {
    match source {
        Source::Package(package) => &package.name,
        Source::Publisher(publisher) => &publisher.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_worked_on_once_however_often_it_is_repeated_and_there_is_a_bound() {
        let requests = Requests::default();
        let id = |number: usize| Uuid::from_u128(number as u128);
        assert!(requests.take(id(0)) && !requests.take(id(0)));
        assert!((1..REQUESTS_MAX).all(|number| requests.take(id(number))));
        assert!(!requests.take(id(REQUESTS_MAX)));
        requests.answered(&id(0));
        assert!(requests.take(id(REQUESTS_MAX)) && !requests.take(id(0)));
    }
}
