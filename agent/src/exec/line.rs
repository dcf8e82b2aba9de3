//! Sightings waiting for the witness, a line for each user: whoever starts thousands of programs waits behind himself, not others
//! behind him. Bounded; what does not fit is handed back and never waited for in the reader.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::reader::Sighting;

/// Lines of all users; who comes next is the one whose line was served longest ago.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    changed: Condvar,
    items_max: usize,
}

#[derive(Debug, Default)]
struct State {
    lines: HashMap<u32, VecDeque<Sighting>>,
    /// Users with something in their line, each once.
    turns: VecDeque<u32>,
    items: usize,
    is_closed: bool,
}

impl Line {
    /// Room for `items_max` sightings of all users together.
    pub(super) fn new(items_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), items_max }
    }

    /// Puts a sighting in its user's line, or hands it back at once when there is no room or the lines are closed.
    pub(super) fn offer(&self, sighting: Sighting) -> Result<(), Sighting> {
        let mut state = self.lock();
        if state.is_closed || state.items >= self.items_max {
            return Err(sighting);
        }
        state.push(sighting);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Puts a sighting in, waiting for room; false when the lines are closed.
    pub(super) fn put(&self, sighting: Sighting) -> bool {
        let mut state = self.lock();
        while !state.is_closed && state.items >= self.items_max {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_open = !state.is_closed;
        if is_open {
            state.push(sighting);
        }
        drop(state);
        self.changed.notify_all();
        is_open
    }

    /// Takes the first of the next user, waiting for one; `None` when the lines are closed and empty.
    pub(super) fn take(&self) -> Option<Sighting> {
        let mut state = self.lock();
        loop {
            if let Some(sighting) = state.pop() {
                drop(state);
                self.changed.notify_all();
                return Some(sighting);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more goes in; what is there can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, sighting: Sighting) {
        let user = sighting.user;
        let line = self.lines.entry(user).or_default();
        if line.is_empty() {
            self.turns.push_back(user);
        }
        line.push_back(sighting);
        self.items += 1;
    }

    fn pop(&mut self) -> Option<Sighting> {
        let user = self.turns.pop_front()?;
        let line = self.lines.get_mut(&user)?;
        let sighting = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        self.items -= usize::from(sighting.is_some());
        sighting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::held::Target;

    fn sighting(user: u32, pid: i32) -> Sighting {
        let target = Target::Open(tempfile::tempfile().unwrap());
        Sighting { target, given: None, user, pid, process: None, observed_at: 0 }
    }

    #[test]
    fn users_take_turns_however_long_their_lines_are() {
        let line = Line::new(8);
        for (user, pid) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31)] {
            line.offer(sighting(user, pid)).unwrap();
        }
        line.close();
        let order: Vec<_> = std::iter::from_fn(|| line.take()).map(|sighting| sighting.pid).collect();
        assert_eq!(order, [10, 20, 30, 11, 31, 12]);
    }

    #[test]
    fn what_does_not_fit_is_handed_back() {
        let line = Line::new(1);
        line.offer(sighting(1, 10)).unwrap();
        assert_eq!(line.offer(sighting(2, 20)).unwrap_err().pid, 20);
        assert_eq!(line.take().unwrap().pid, 10);
        line.offer(sighting(2, 21)).unwrap();
        line.close();
        assert!(line.offer(sighting(2, 22)).is_err() && !line.put(sighting(2, 23)));
        assert_eq!(line.take().unwrap().pid, 21);
        assert!(line.take().is_none());
    }
}
