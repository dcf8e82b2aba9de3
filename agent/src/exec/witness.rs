//! The threads between the reader and the answer. The witness captures at once what will be gone in a moment (process, path) and
//! answers files already known; workers read those that are not. A large file holds up one worker and nobody else.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use doorward_policy::Use;
use doorward_proto::report::Process;
use nix::sys::stat::fstat;

use super::cold::{Cold, Job, Key, Lane, Waiter};
use super::guarded::{Keeping, keep, only_root_writes};
use super::held::Target;
use super::line::Line;
use super::load::OpenMemory;
use super::location::{self, Found};
use super::maintainer::is_of_package_manager;
use super::mount::Mounts;
use super::outcome::{Execution, Footing, Outcomes};
use super::reader::{Manner, Sighting};
use super::{executable, monotonic_ms, process};
use crate::health::{FailureReason, Health, Pulse};
use crate::identify::{Identified, Identifier, Inode, SkipReason};
use crate::system::group::Answer;
use crate::trust::Haste;

/// Longest a single file is read for, in milliseconds: 8 GiB with MD5 at the pace of a slow disk and a slow digest.
const IDENTIFY_DEADLINE_MS: i64 = 120_000;
/// Longest signatures are looked for before an execution is concluded upon without them, in milliseconds: half of what it may wait.
const SIGNATURE_PATIENCE_MS: i64 = 1_000;

/// What both kinds of threads work with.
pub(super) struct Bench {
    pub(super) queue: Arc<Line>,
    pub(super) cold: Cold,
    pub(super) identifier: Arc<Identifier>,
    pub(super) outcomes: Outcomes,
    pub(super) mounts: Arc<ArcSwap<Mounts>>,
    pub(super) health: Health,
    pub(super) is_stopping: Arc<AtomicBool>,
    pub(super) opens: OpenMemory,
}

/// A use of a file, as it was noticed.
pub(super) struct Seen {
    pub(super) given: Option<Answer>,
    pub(super) manner: Manner,
    pub(super) process: Option<OwnedFd>,
    pub(super) facts: Process,
    /// Microseconds since 1970, UTC.
    pub(super) observed_at: i64,
    pub(super) usage: Use,
}

impl Bench {
    /// The witness: takes sightings until the queue is closed.
    pub(super) fn witness(&self, pulse: &Pulse) {
        while let Some(sighting) = self.queue.take() {
            pulse.beat(monotonic_ms());
            self.guard(|| self.capture(sighting));
            pulse.idle();
        }
    }

    /// A worker: reads files of one lane until there are no more jobs.
    pub(super) fn work(&self, lane: Lane, pulse: &Pulse) {
        while let Some(job) = self.cold.take(lane) {
            pulse.beat(monotonic_ms());
            let key = job.key;
            if !self.guard(|| self.read(&job, pulse)) {
                // Whoever still waits after a defect must not wait for ever.
                drop(self.cold.finish(&key));
            }
            pulse.idle();
        }
    }

    /// False when the work met a defect of this program.
    pub(super) fn guard(&self, work: impl FnOnce()) -> bool {
        let is_done = catch_unwind(AssertUnwindSafe(work)).is_ok();
        if !is_done {
            self.health.note(FailureReason::WorkerPanicked);
        }
        is_done
    }

    fn capture(&self, sighting: Sighting) {
        let mounts = self.mounts.load();
        let Sighting { target, given, manner, pid, process, observed_at, .. } = sighting;
        let facts = process::capture(pid, process.as_ref());
        self.consider(target, Seen { given, manner, process, facts, observed_at, usage: Use::Execute }, &mounts);
    }

    /// Finds out where the file lies, who uses it, and what is known of it; has it read when that is nothing.
    pub(super) fn consider(&self, target: Target, seen: Seen, mounts: &Mounts) {
        let Seen { given, manner, process, mut facts, observed_at, usage } = seen;
        let Found { location, user_writable_folder } = location::find(target.file(), mounts);
        let wanted = location.proven().and_then(|path| self.outcomes.judge.wanted_digest(path));
        facts.parent_sha256 = self.digest_of_parent(facts.parent_pid, mounts);
        let pidfd = process.map(Arc::new);
        let (process, ended, source, layer) = (facts, None, None, None);
        let mut execution =
            Execution { location, process, pidfd, observed_at, user_writable_folder, given, manner, ended, usage, source, layer };
        if matches!(manner, Manner::Unreadable | Manner::Trusted) {
            return self.outcomes.unjudged(execution, None, FailureReason::UnwatchedFilesystem);
        }
        let inode = match self.inode(target.file()) {
            Ok(inode) => inode,
            Err(reason) => return self.outcomes.unjudged(execution, target.held(), reason.into()),
        };
        let only_root_writes = only_root_writes(target.file());
        // SECURITY: before anything is looked up, so that what was found out still holds when the program runs.
        if target.held().is_some() && keep(target.file(), only_root_writes) == Keeping::BeingWritten {
            return self.outcomes.unjudged(execution, target.held(), FailureReason::BeingWritten);
        }
        if execution.is_load() && only_root_writes && !user_writable_folder {
            let path = execution.location.proven().filter(|path| path.file_name().ends_with(b".pyc"));
            execution.source = path.and_then(|path| self.outcomes.judge.package_of_source(path, &inode.identity, mounts));
        }
        let publishers = self.outcomes.judge.publishers();
        // Where signatures were not looked for yet, the file has to be read once more.
        let known = self.identifier.store().candidate(&inode, wanted).filter(|known| !publishers.is_open_about(known));
        if let Some(known) = known {
            let footing = Footing { only_root_writes, is_lasting: true };
            let is_of_package_manager = |execution: &Execution| self.is_of_package_manager(execution, target.file(), only_root_writes);
            return self.outcomes.conclude(execution, &target, &known, footing, is_of_package_manager);
        }
        let held = target.held().cloned();
        let job = Job { target, key: Key { identity: inode.identity, wanted }, claim: execution.claim(), only_root_writes };
        if let Err(waiter) = self.cold.offer(job, Waiter { execution, held }) {
            self.outcomes.unjudged(waiter.execution, waiter.held.as_ref(), FailureReason::QueueFull);
        }
    }

    fn read(&self, job: &Job, pulse: &Pulse) {
        let started_ms = monotonic_ms();
        let stop = || {
            let now_ms = monotonic_ms();
            pulse.beat(now_ms);
            self.is_stopping.load(Ordering::Relaxed) || now_ms - started_ms > IDENTIFY_DEADLINE_MS
        };
        let file = job.target.file();
        let outcome = self.identifier.file_as(file, job.claim, job.key.wanted, &stop);
        if let Ok(Some(found)) = &outcome {
            let due_ms = monotonic_ms() + SIGNATURE_PATIENCE_MS;
            self.outcomes.judge.publishers().examine(file, found, Haste::Execution, &|| stop() || monotonic_ms() > due_ms);
        }
        let waiting = self.cold.finish(&job.key);
        let unjudged = |waiting: Vec<Waiter>, reason: FailureReason| {
            for Waiter { execution, held } in waiting {
                self.outcomes.unjudged(execution, held.as_ref(), reason);
            }
        };
        // SECURITY: what ran before it was read was not necessarily what was read.
        let is_same = |identity| identity == job.key.identity;
        match outcome {
            Ok(Some(found)) if is_same(found.identity) => self.conclude(waiting, job, &found),
            Ok(None) if self.inode(file).is_ok_and(|inode| is_same(inode.identity)) => {
                self.outcomes.not_a_candidate(waiting, job.key.identity, job.only_root_writes);
            }
            // Whoever still waits has not run yet, and is answered only while the file stays what was read.
            Ok(Some(found)) if self.was_only_renamed(job, &found) => {
                let is_safe = |waiter: &Waiter| waiter.held.is_some() && !waiter.execution.user_writable_folder;
                let (held, others): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_safe);
                self.conclude(held, job, &found);
                unjudged(others, FailureReason::DigestChanged);
            }
            Ok(_) => unjudged(waiting, FailureReason::DigestChanged),
            Err(SkipReason::Stopped) if self.is_stopping.load(Ordering::Relaxed) => {}
            Err(reason) => unjudged(waiting, reason.into()),
        }
    }

    /// Whether a file that is root's alone got or lost a name before it was read, from a package manager at work.
    fn was_only_renamed(&self, job: &Job, found: &Identified) -> bool {
        let (then, now) = (job.key.identity, found.identity);
        let is_same = (then.filesystem, then.inode, then.size) == (now.filesystem, now.inode, now.size);
        is_same && job.only_root_writes && self.outcomes.is_replaced_by_root(job.target.file())
    }

    fn conclude(&self, waiting: Vec<Waiter>, job: &Job, found: &Identified) {
        let is_lasting = self.inode(job.target.file()).is_ok_and(|inode| self.identifier.store().candidate(&inode, None).is_some());
        let footing = Footing { only_root_writes: job.only_root_writes, is_lasting };
        let is_of_package_manager = |execution: &Execution| self.is_of_package_manager(execution, job.target.file(), job.only_root_writes);
        for Waiter { execution, held } in waiting {
            match held {
                Some(held) => self.outcomes.conclude(execution, &Target::Held(held), found, footing, is_of_package_manager),
                None => self.outcomes.conclude(execution, &job.target, found, footing, is_of_package_manager),
            }
        }
    }

    fn is_of_package_manager(&self, execution: &Execution, file: &File, only_root_writes: bool) -> bool {
        is_of_package_manager(execution, file, only_root_writes, &self.outcomes.judge, &self.identifier, &self.mounts.load())
    }

    fn inode(&self, file: &File) -> Result<Inode, SkipReason> {
        let stat = fstat(file)?;
        Inode::of(self.identifier.filesystems().id(stat.st_dev, file)?, &stat)
    }

    /// The parent's executable by content when it is known already; never read for this.
    fn digest_of_parent(&self, parent_pid: u32, mounts: &Mounts) -> Option<doorward_policy::Sha256> {
        let parent_pid = i32::try_from(parent_pid).ok().filter(|pid| *pid > 0)?;
        let file = executable::find(parent_pid, mounts)?;
        let inode = self.inode(&file).ok()?;
        Some(self.identifier.store().candidate(&inode, None)?.digests.sha256)
    }
}

impl From<SkipReason> for FailureReason {
    fn from(reason: SkipReason) -> Self {
        match reason {
            SkipReason::ChangedWhileRead => Self::DigestChanged,
            SkipReason::TooLarge => Self::FileTooLarge,
            SkipReason::Stopped => Self::IdentifyTimeout,
            _ => Self::FileUnreadable,
        }
    }
}
