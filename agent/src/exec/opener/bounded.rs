//! What another process, or whoever answers for a file system, can keep anybody from: done within a time, by a thread that may be lost.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// Longest anybody waits.
const LIMIT: Duration = Duration::from_millis(200);
/// Threads that may be lost at once; with all of them lost nothing is read any more until one comes back.
const THREADS_MAX: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Counts a thread for as long as it lives.
struct Seat;

impl Seat {
    fn take() -> Option<Self> {
        let has_room = THREADS.fetch_add(1, Ordering::AcqRel) < THREADS_MAX;
        let seat = Self;
        has_room.then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Does what somebody else may hold up; `None` when it did not end in time.
pub(super) fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let seat = Seat::take()?;
    let (tell, told) = sync_channel(1);
    let work = move || {
        let _seat = seat;
        let _ = tell.send(work());
    };
    thread::Builder::new().name("exec-look".into()).spawn(work).ok()?;
    told.recv_timeout(LIMIT).ok()
}

/// Reads a file of `/proc`; `None` when it cannot be read, or not in time.
pub(super) fn read_within(path: String, bytes_max: u64) -> Option<Vec<u8>> {
    within(move || {
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_nothing() {
        assert!(read_within("/proc/self/cmdline".into(), 100).is_some_and(|bytes| !bytes.is_empty()));
        assert_eq!(read_within("/proc/self/nothing".into(), 100), None);
        assert_eq!(within(|| thread::sleep(2 * LIMIT)), None, "too late");
    }
}
