//! A scan from its options to its summary.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, thread};

use doorward_policy::{Evidence, PathBytes};
use doorward_proto::report::Layer;
use nix::sys::statvfs::fstatvfs;

use super::plan::Plan;
use super::queue::{Folder, Queue};
use super::worker::{Part, Worker};
use super::{Cancel, Judge, Options, Progress, Summary};
use crate::exec::mount::{MOUNTINFO, Mounts};
use crate::identify::store::Pass;
use crate::identify::{Identified, Identifier, SkipReason};
use crate::trust::{PackageTrust, Publishers};

/// A candidate that nothing settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Absolute, seen from the root.
    pub path: PathBytes,
    /// What it is.
    pub file: Identified,
    /// What was proved about it, and did not suffice.
    pub evidence: Evidence,
    /// Its folder, or one above it, can be written by somebody other than root.
    pub user_writable_folder: bool,
    /// The layer of some overlay it lies in.
    pub layer: Option<Layer>,
}

/// Takes what a scan finds, from all its threads at once.
pub trait Sink: Sync {
    /// Takes unresolved candidates, a few hundred at most. May block for as long as it must: the thread waits, and with it
    /// in the end the scan. A break stops the scan. Over a kill every finding comes at least once.
    fn findings(&self, findings: Vec<Finding>) -> ControlFlow<()>;

    /// Hears what was not looked at; there may be very many, so whoever logs them sets a bound.
    fn skipped(&self, _path: &PathBytes, _reason: SkipReason) {}
}

/// Why a scan could not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Without the mounts nobody can tell a local file system from one that may freeze whoever touches it.
    #[error("cannot read the mounts from /proc/thread-self/mountinfo: {0}")]
    Mounts(#[source] io::Error),
    /// The root of the file system is not there.
    #[error("cannot scan below {}: {source}", root.display())]
    Root {
        /// As in the options.
        root: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A thread panicked: a defect. What was learnt before is kept.
    #[error("a thread of the scan panicked; please report this")]
    Panicked,
}

/// Everything a scan needs; it owns none of it.
pub struct Scan<'a> {
    /// What to scan.
    pub options: Options,
    /// Reads and remembers.
    pub identifier: &'a Identifier,
    /// Packages of the root; `None` where there is no package database.
    pub trust: Option<&'a PackageTrust>,
    /// Publishers by signature; `None` where nobody asks for them.
    pub publishers: Option<&'a Publishers>,
    /// Settles candidates.
    pub judge: &'a dyn Judge,
    /// Takes the others.
    pub sink: &'a dyn Sink,
    /// Counts while it runs.
    pub progress: &'a Progress,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// A scan under way, as its threads see it.
pub(super) struct Running<'a> {
    pub(super) scan: &'a Scan<'a>,
    pub(super) plan: Plan,
    pub(super) pass: Pass<'a>,
    pub(super) queue: Queue,
    /// The sink took no more.
    pub(super) is_refused: AtomicBool,
}

impl Running<'_> {
    pub(super) fn is_stopped(&self) -> bool {
        self.scan.cancel.is_cancelled() || self.is_refused.load(Ordering::Relaxed)
    }
}

impl Scan<'_> {
    /// Runs the scan on threads of its own and returns when the last of them has ended.
    ///
    /// # Errors
    /// [`ScanError`]; being stopped is none, see [`Summary::stopped`].
    pub fn run(&self) -> Result<Summary, ScanError> {
        let mounts = Mounts::read(Path::new(MOUNTINFO)).map_err(ScanError::Mounts)?;
        let root = &self.options.root;
        let plan = Plan::make(&self.options, &mounts).map_err(|source| ScanError::Root { root: root.clone(), source })?;
        self.identifier.filesystems().forget();
        let store = self.identifier.store();
        self.progress.expect(store.files_expected().unwrap_or_else(|| used_inodes(&plan)));
        let running = Running { scan: self, plan, pass: store.pass(), queue: Queue::default(), is_refused: AtomicBool::new(false) };
        for start in (0..running.plan.starts.len()).rev() {
            // No plan has more starts than the queue has room.
            let below_user_writable = running.plan.starts[start].below_user_writable;
            let _ = running.queue.push(Folder { start, path: Box::default(), below_user_writable });
        }
        let whole = run_threads(&running, self.options.threads_used())?;
        let stopped = running.is_stopped();
        let is_everything = !stopped && self.options.paths.is_empty() && !self.options.one_filesystem;
        let pass = is_everything.then_some((&running.pass, whole.total.files));
        if let Err(error) = store.checkpoint(pass) {
            tracing::warn!(%error, "the identity store cannot be written; the next scan reads again what this one learnt");
        }
        Ok(self.summary(running.plan, whole, stopped))
    }

    fn summary(&self, plan: Plan, whole: Part, stopped: bool) -> Summary {
        Summary {
            counts: whole.total,
            skipped: whole.skipped,
            inventory: whole.inventory.sources(self.trust),
            uncovered: plan.uncovered,
            stopped,
        }
    }
}

fn run_threads(running: &Running<'_>, threads: usize) -> Result<Part, ScanError> {
    thread::scope(|scope| {
        let mut workers = Vec::new();
        let mut outcome = Ok(());
        for number in 0..threads {
            let thread = thread::Builder::new().name(format!("scan-{number}"));
            match thread.spawn_scoped(scope, || Worker::new(running).run()) {
                Ok(worker) => workers.push(worker),
                Err(error) => outcome = Err(ScanError::Thread(error)),
            }
        }
        // One thread does the work of all, only slower.
        if !workers.is_empty() {
            outcome = Ok(());
        }
        let mut whole = Part::default();
        for path in &running.plan.missing {
            whole.skip(running.scan, path, SkipReason::Vanished);
        }
        for worker in workers {
            match worker.join() {
                Ok(part) => whole.add(part),
                Err(_) => outcome = Err(ScanError::Panicked),
            }
        }
        outcome.map(|()| whole)
    })
}

/// A guess at the number of files, from what the file systems count; too high by folders and links.
fn used_inodes(plan: &Plan) -> u64 {
    let used =
        plan.starts.iter().filter_map(|start| fstatvfs(&start.folder).ok()).map(|stat| stat.files().saturating_sub(stat.files_free()));
    used.sum()
}
