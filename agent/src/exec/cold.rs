//! Files that have to be read before anything can be said of them: one read per inode state, however many executions wait for it,
//! large files never in the way of small ones, and small ones in turns of those who wait for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use doorward_policy::DigestAlgorithm;

use super::held::{Held, Target};
use super::outcome::Execution;
use super::turns::Turns;
use crate::identify::{Identity, NameClaim};

/// Executions that may wait for one file; a busy host starts some thousand programs a second.
const WAITING_MAX: usize = 8_192;
/// Files above this many bytes are read by threads of their own, the smallest first.
const SMALL_BYTES_MAX: u64 = 32 << 20;

/// A file to be read, and where it stood when it was met.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) target: Target,
    pub(super) key: Key,
    /// What its name, or whoever loads it, claims about it.
    pub(super) claim: NameClaim,
    pub(super) only_root_writes: bool,
}

/// What is read once for all who wait: an MD5 is taken only for those who need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) identity: Identity,
    pub(super) wanted: Option<DigestAlgorithm>,
}

/// An execution that waits for a file to be read, and perhaps for its answer.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) execution: Execution,
    pub(super) held: Option<Arc<Held>>,
}

/// Which files a thread reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Up to [`SMALL_BYTES_MAX`].
    Small,
    /// Above.
    Large,
}

/// Jobs, and the executions that wait for each.
#[derive(Debug)]
pub(super) struct Cold {
    state: Mutex<State>,
    /// One for each lane, so that what is there for one wakes nobody of the other.
    small: Condvar,
    large: Condvar,
    jobs_max: usize,
}

#[derive(Debug, Default)]
struct State {
    small: HashMap<Key, Job>,
    /// Keys of small jobs, in the line of every user who waits for them; those of jobs already taken are passed over.
    turns: Turns<Key>,
    /// By size and order of arrival.
    large: BTreeMap<(u64, u64), Job>,
    arrivals: u64,
    waiting: HashMap<Key, Vec<Waiter>>,
    is_closed: bool,
}

impl Cold {
    /// Room for `jobs_max` open files in each lane.
    pub(super) fn new(jobs_max: usize) -> Self {
        Self { state: Mutex::default(), small: Condvar::new(), large: Condvar::new(), jobs_max }
    }

    /// Adds an execution to those waiting for its file, and a job when it is the first; hands it back when there is no room.
    #[expect(clippy::result_large_err, reason = "it is handed back to whoever had it")]
    pub(super) fn offer(&self, job: Job, waiter: Waiter) -> Result<(), Waiter> {
        let mut state = self.lock();
        let size = job.key.identity.size;
        let lane = if size > SMALL_BYTES_MAX { state.large.len() } else { state.small.len() };
        let has_room = match state.waiting.get(&job.key) {
            Some(others) => others.len() < WAITING_MAX,
            None => lane < self.jobs_max && !state.is_closed,
        };
        if !has_room {
            return Err(waiter);
        }
        let key = job.key;
        let user = waiter.execution.process.uid.unwrap_or(0);
        let waiting = state.waiting.entry(key).or_default();
        let is_first_of_user = waiting.iter().all(|other| other.execution.process.uid != waiter.execution.process.uid);
        let is_first = waiting.is_empty();
        waiting.push(waiter);
        if !is_first {
            if is_first_of_user && state.small.contains_key(&key) {
                state.turns.push(user, key);
            }
            return Ok(());
        }
        if size > SMALL_BYTES_MAX {
            state.arrivals += 1;
            let arrival = state.arrivals;
            state.large.insert((size, arrival), job);
        } else {
            state.small.insert(key, job);
            state.turns.push(user, key);
        }
        drop(state);
        self.lane(size).notify_one();
        Ok(())
    }

    /// The next file to read in this lane; `None` when it is over.
    pub(super) fn take(&self, lane: Lane) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let job = match lane {
                Lane::Small => state.take_small(),
                Lane::Large => state.large.pop_first().map(|(_, job)| job),
            };
            if job.is_some() || state.is_closed {
                return job;
            }
            let changed = match lane {
                Lane::Small => &self.small,
                Lane::Large => &self.large,
            };
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands over everybody who waited for a job that is finished, however it ended.
    pub(super) fn finish(&self, key: &Key) -> Vec<Waiter> {
        self.lock().waiting.remove(key).unwrap_or_default()
    }

    /// Nothing more is read; what waits is let go.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        let jobs = (std::mem::take(&mut state.small), std::mem::take(&mut state.large), std::mem::take(&mut state.waiting));
        state.is_closed = true;
        drop(state);
        // Outside the lock: closing files may take a disk's time.
        drop(jobs);
        self.small.notify_all();
        self.large.notify_all();
    }

    /// Who waits for files of this size.
    const fn lane(&self, size: u64) -> &Condvar {
        if size > SMALL_BYTES_MAX { &self.large } else { &self.small }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_small(&mut self) -> Option<Job> {
        loop {
            let key = self.turns.pop()?;
            if let Some(job) = self.small.remove(&key) {
                return Some(job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::outcome::tests::execution;
    use crate::identify::FilesystemId;

    fn job(inode: u64, size: u64) -> Job {
        let identity = Identity { filesystem: FilesystemId(1), inode, changed_ns: 0, size };
        let target = Target::Open(tempfile::tempfile().unwrap());
        Job { target, key: Key { identity, wanted: None }, claim: NameClaim::None, only_root_writes: false }
    }

    fn waiter(pid: u32) -> Waiter {
        Waiter { execution: execution(pid), held: None }
    }

    fn inode(job: Option<Job>) -> Option<u64> {
        job.map(|job| job.key.identity.inode)
    }

    #[test]
    fn one_read_serves_all_who_wait() {
        let cold = Cold::new(4);
        cold.offer(job(1, 1), waiter(10)).unwrap();
        cold.offer(job(1, 1), waiter(11)).unwrap();
        cold.offer(job(2, 1), waiter(12)).unwrap();
        let first = cold.take(Lane::Small).unwrap();
        // Still in flight: whoever comes now waits too.
        cold.offer(job(1, 1), waiter(13)).unwrap();
        let pids: Vec<_> = cold.finish(&first.key).into_iter().map(|waiter| waiter.execution.process.pid).collect();
        assert_eq!(pids, [10, 11, 13]);
        assert_eq!(inode(cold.take(Lane::Small)), Some(2));
    }

    #[test]
    fn a_user_does_not_wait_behind_anothers_files_even_for_one_that_both_wait_for() {
        let cold = Cold::new(8);
        let waiter_of = |user| {
            let mut waiter = waiter(1);
            waiter.execution.process.uid = Some(user);
            waiter
        };
        for inode in 1..=4 {
            cold.offer(job(inode, 1), waiter_of(1000)).unwrap();
        }
        cold.offer(job(4, 1), waiter_of(1001)).unwrap();
        let order: Vec<_> = (0..4).map(|_| inode(cold.take(Lane::Small)).unwrap()).collect();
        assert_eq!(order, [1, 4, 2, 3]);
    }

    #[test]
    fn large_files_wait_for_each_other_and_the_smallest_goes_first() {
        let cold = Cold::new(4);
        for (inode, size) in [(1, 3), (2, 1), (3, 2)] {
            cold.offer(job(inode, SMALL_BYTES_MAX + size), waiter(1)).unwrap();
        }
        cold.offer(job(4, SMALL_BYTES_MAX), waiter(1)).unwrap();
        assert_eq!(inode(cold.take(Lane::Small)), Some(4));
        assert_eq!([(); 3].map(|()| inode(cold.take(Lane::Large))), [Some(2), Some(3), Some(1)]);
    }

    #[test]
    fn no_room_means_no() {
        let cold = Cold::new(1);
        cold.offer(job(1, 1), waiter(1)).unwrap();
        assert_eq!(cold.offer(job(2, 1), waiter(2)).unwrap_err().execution.process.pid, 2);
        for _ in 1..WAITING_MAX {
            cold.offer(job(1, 1), waiter(3)).unwrap();
        }
        assert!(cold.offer(job(1, 1), waiter(4)).is_err());
        cold.close();
        assert!(cold.take(Lane::Small).is_none());
        assert!(cold.finish(&job(1, 1).key).is_empty());
    }
}
