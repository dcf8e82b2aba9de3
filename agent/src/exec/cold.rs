//! Files that have to be read before anything can be said of them: one read per inode state, however many executions wait for it.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::outcome::Execution;
use super::queue::Queue;
use crate::identify::Identity;

/// Executions that may wait for one file; a busy host starts some thousand programs a second.
const WAITING_MAX: usize = 1024;

/// A file to be read, and where it stood when it was met.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: File,
    pub(super) identity: Identity,
    /// Last component of its path, as far as there is one.
    pub(super) name: Vec<u8>,
    pub(super) want_md5: bool,
}

/// Jobs, and the executions that wait for each. An execution's descriptors are closed as soon as it waits for another's job.
#[derive(Debug)]
pub(super) struct Cold {
    jobs: Queue<Job>,
    waiting: Mutex<HashMap<Identity, Vec<Execution>>>,
}

impl Cold {
    /// Room for `jobs_max` open files.
    pub(super) fn new(jobs_max: usize) -> Self {
        Self { jobs: Queue::new(jobs_max), waiting: Mutex::default() }
    }

    /// Adds an execution to those waiting for its file, and a job when it is the first; false when there is no room.
    pub(super) fn offer(&self, job: Job, execution: Execution) -> bool {
        let mut waiting = self.waiting();
        if let Some(others) = waiting.get_mut(&job.identity) {
            let has_room = others.len() < WAITING_MAX;
            if has_room {
                others.push(execution);
            }
            return has_room;
        }
        let identity = job.identity;
        let is_queued = self.jobs.offer(job).is_ok();
        if is_queued {
            waiting.insert(identity, vec![execution]);
        }
        is_queued
    }

    /// The next file to read; `None` when it is over.
    pub(super) fn take(&self) -> Option<Job> {
        self.jobs.take()
    }

    /// Hands over everybody who waited for a job that is finished, however it ended.
    pub(super) fn finish(&self, identity: &Identity) -> Vec<Execution> {
        self.waiting().remove(identity).unwrap_or_default()
    }

    /// Nothing more is read; what waits is let go.
    pub(super) fn close(&self) {
        self.jobs.close();
        self.jobs.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Identity, Vec<Execution>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::outcome::tests::execution;
    use crate::identify::FilesystemId;

    fn job(inode: u64) -> Job {
        let identity = Identity { filesystem: FilesystemId(1), inode, changed_ns: 0, size: 1 };
        Job { file: tempfile::tempfile().unwrap(), identity, name: Vec::new(), want_md5: false }
    }

    #[test]
    fn one_read_serves_all_who_wait() {
        let cold = Cold::new(4);
        assert!(cold.offer(job(1), execution(10)));
        assert!(cold.offer(job(1), execution(11)));
        assert!(cold.offer(job(2), execution(12)));
        let first = cold.take().unwrap();
        // Still in flight: whoever comes now waits too.
        assert!(cold.offer(job(1), execution(13)));
        let pids: Vec<_> = cold.finish(&first.identity).into_iter().map(|execution| execution.process.pid).collect();
        assert_eq!(pids, [10, 11, 13]);
        assert_eq!(cold.take().unwrap().identity.inode, 2);
    }

    #[test]
    fn no_room_means_no() {
        let cold = Cold::new(1);
        assert!(cold.offer(job(1), execution(1)));
        assert!(!cold.offer(job(2), execution(2)));
        for _ in 1..WAITING_MAX {
            assert!(cold.offer(job(1), execution(3)));
        }
        assert!(!cold.offer(job(1), execution(4)));
        cold.close();
        assert!(cold.take().is_none());
    }
}
