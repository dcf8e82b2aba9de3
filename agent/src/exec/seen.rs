//! Executions the marks told of a moment ago, so that the second sensor passes over what was judged already.
//!
//! A file is known by process, inode number, change time and size, whichever file system it is looked at through: a layer shows the
//! inode of the file below, and nobody sets change times.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::stat::FileStat;

use crate::system::glance::Glance;

/// Executions remembered; at a thousand a second these are four seconds.
const EXECUTIONS_MAX: usize = 4_096;

/// Process, inode number, change time in nanoseconds, size.
type Trace = (i32, u64, i64, u64);

/// The last of them. The lock is never held across anything but a look.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Traces>);

#[derive(Debug, Default)]
struct Traces {
    known: HashSet<Trace>,
    order: VecDeque<Trace>,
}

impl Seen {
    /// The marks told of this execution.
    pub(super) fn note(&self, pid: i32, file: &FileStat) {
        let changed_ns = file.st_ctime.saturating_mul(1_000_000_000).saturating_add(file.st_ctime_nsec);
        let trace = (pid, file.st_ino, changed_ns, file.st_size.cast_unsigned());
        let mut traces = self.lock();
        if !traces.known.insert(trace) {
            return;
        }
        traces.order.push_back(trace);
        if traces.order.len() > EXECUTIONS_MAX
            && let Some(oldest) = traces.order.pop_front()
        {
            traces.known.remove(&oldest);
        }
    }

    /// Whether they told of this one.
    pub(super) fn has(&self, pid: i32, file: &Glance) -> bool {
        self.lock().known.contains(&(pid, file.inode, file.changed_ns, file.size))
    }

    fn lock(&self) -> MutexGuard<'_, Traces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::fstat;

    use super::*;
    use crate::system::glance::glance;

    #[test]
    fn a_file_is_the_same_for_its_process_until_it_changes() {
        let (seen, file) = (Seen::default(), tempfile::tempfile().unwrap());
        seen.note(7, &fstat(&file).unwrap());
        assert!(seen.has(7, &glance(&file).unwrap()));
        assert!(!seen.has(8, &glance(&file).unwrap()));
        file.set_len(1).unwrap();
        assert!(!seen.has(7, &glance(&file).unwrap()));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (seen, file) = (Seen::default(), tempfile::tempfile().unwrap());
        let stat = fstat(&file).unwrap();
        for pid in 0..=i32::try_from(EXECUTIONS_MAX).unwrap() {
            seen.note(pid, &stat);
        }
        let glance = glance(&file).unwrap();
        assert!(!seen.has(0, &glance) && seen.has(1, &glance));
        let traces = seen.lock();
        assert_eq!((traces.known.len(), traces.order.len()), (EXECUTIONS_MAX, EXECUTIONS_MAX));
    }
}
