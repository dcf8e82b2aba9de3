//! The threads between the reader and the answer. The witness captures at once what will be gone in a moment (process, path) and
//! answers files already known; workers read those that are not. A large file holds up one worker and nobody else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use nix::sys::stat::fstat;

use super::cold::{Cold, Job};
use super::location::{folder_is_user_writable, locate};
use super::mount::Mounts;
use super::outcome::{Execution, Outcomes};
use super::queue::Queue;
use super::reader::Sighting;
use super::{executable, monotonic_ms, process};
use crate::health::{FailureReason, Health, Pulse};
use crate::identify::{Identifier, Inode, SkipReason};

/// Longest a single file is read for, in milliseconds: 8 GiB with MD5 at the pace of a slow disk and a slow digest.
const IDENTIFY_DEADLINE_MS: i64 = 120_000;

/// What both kinds of threads work with.
pub(super) struct Bench {
    pub(super) queue: Arc<Queue<Sighting>>,
    pub(super) cold: Cold,
    pub(super) identifier: Arc<Identifier>,
    pub(super) outcomes: Outcomes,
    pub(super) mounts: Arc<ArcSwap<Mounts>>,
    pub(super) health: Health,
    pub(super) is_stopping: Arc<AtomicBool>,
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

    /// A worker: reads files until there are no more jobs.
    pub(super) fn work(&self, pulse: &Pulse) {
        while let Some(job) = self.cold.take() {
            pulse.beat(monotonic_ms());
            let identity = job.identity;
            self.guard(|| self.read(job, pulse));
            // Whoever still waits after a defect must not wait for ever.
            self.health.note_many(FailureReason::WorkerPanicked, self.cold.finish(&identity).len() as u64);
            pulse.idle();
        }
    }

    fn guard(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.health.note(FailureReason::WorkerPanicked);
        }
    }

    fn capture(&self, sighting: Sighting) {
        let mounts = self.mounts.load();
        let mut process = process::capture(sighting.pid, sighting.process.as_ref());
        drop(sighting.process);
        let location = locate(&sighting.file, &mounts);
        let user_writable_folder = location.proven().is_none_or(folder_is_user_writable);
        process.parent_sha256 = self.digest_of_parent(process.parent_pid, &mounts);
        let want_md5 = location.proven().is_some_and(|path| self.outcomes.judge.wants_md5(path));
        let name = location.proven().map(|path| path.file_name().to_vec()).unwrap_or_default();
        let execution = Execution { location, process, observed_at: sighting.observed_at, user_writable_folder };
        let inode = match self.inode(&sighting.file) {
            Ok(inode) => inode,
            Err(reason) => return self.give_up(reason, 1),
        };
        match self.identifier.store().candidate(&inode, want_md5) {
            Some(known) => self.outcomes.conclude(execution, &known),
            None => {
                let job = Job { file: sighting.file, identity: inode.identity, name, want_md5 };
                if !self.cold.offer(job, execution) {
                    self.health.note(FailureReason::QueueFull);
                }
            }
        }
    }

    fn read(&self, job: Job, pulse: &Pulse) {
        let started_ms = monotonic_ms();
        let stop = || {
            let now_ms = monotonic_ms();
            pulse.beat(now_ms);
            self.is_stopping.load(Ordering::Relaxed) || now_ms - started_ms > IDENTIFY_DEADLINE_MS
        };
        let outcome = self.identifier.file(&job.file, &job.name, job.want_md5, &stop);
        let waiting = self.cold.finish(&job.identity);
        match outcome {
            Ok(Some(file)) => waiting.into_iter().for_each(|execution| self.outcomes.conclude(execution, &file)),
            Ok(None) => self.outcomes.not_a_candidate(waiting.len() as u64),
            Err(SkipReason::Stopped) if self.is_stopping.load(Ordering::Relaxed) => {}
            Err(reason) => self.give_up(reason, waiting.len() as u64),
        }
    }

    fn inode(&self, file: &std::fs::File) -> Result<Inode, SkipReason> {
        let stat = fstat(file)?;
        Inode::of(self.identifier.filesystems().id(stat.st_dev, file)?, &stat)
    }

    /// The parent's executable by content when it is known already; never read for this.
    fn digest_of_parent(&self, parent_pid: u32, mounts: &Mounts) -> Option<doorward_policy::Sha256> {
        let parent_pid = i32::try_from(parent_pid).ok().filter(|pid| *pid > 0)?;
        let file = executable::find(parent_pid, mounts)?;
        let inode = self.inode(&file).ok()?;
        Some(self.identifier.store().candidate(&inode, false)?.digests.sha256)
    }

    fn give_up(&self, reason: SkipReason, executions: u64) {
        let failure = match reason {
            SkipReason::ChangedWhileRead => FailureReason::DigestChanged,
            SkipReason::TooLarge => FailureReason::FileTooLarge,
            SkipReason::Stopped => FailureReason::IdentifyTimeout,
            _ => FailureReason::FileUnreadable,
        };
        self.health.note_many(failure, executions);
    }
}
