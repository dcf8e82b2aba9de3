//! Folders waiting to be walked, shared by all threads: newest first, so that it stays short and the walk stays near what
//! was just read.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Folders waiting at most (few in tests, which fill the queue). A folder that finds no room is walked at once by whoever
/// found it.
pub(super) const FOLDERS_WAITING_MAX: usize = if cfg!(test) { 64 } else { 16_384 };

/// A folder to walk.
#[derive(Debug)]
pub(super) struct Folder {
    /// Index of its start.
    pub(super) start: usize,
    /// From the start; empty for the start itself.
    pub(super) path: Box<[u8]>,
    /// A folder above it can be written by somebody other than root.
    pub(super) below_user_writable: bool,
}

/// The queue ends when it is empty and nobody is at work who could fill it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Folder>,
    at_work: usize,
    closed: bool,
}

/// One thread's folder; the thread counts as being at work for as long as it lives.
pub(super) struct Turn<'a> {
    queue: &'a Queue,
    pub(super) folder: Folder,
}

impl Queue {
    /// Puts a folder in line; gives it back when the line is too long.
    pub(super) fn push(&self, folder: Folder) -> Result<(), Folder> {
        let mut state = self.state();
        if state.waiting.len() >= FOLDERS_WAITING_MAX {
            return Err(folder);
        }
        state.waiting.push(folder);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next folder, waiting while others may still find some; `None` at the end.
    pub(super) fn next(&self) -> Option<Turn<'_>> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(folder) = state.waiting.pop() {
                state.at_work += 1;
                return Some(Turn { queue: self, folder });
            }
            if state.at_work == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends it for everybody.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.at_work -= 1;
        let is_end = state.at_work == 0 && state.waiting.is_empty();
        drop(state);
        if is_end {
            self.queue.changed.notify_all();
        }
    }
}
