//! Sightings waiting for the witness, in turns of their users. Bounded; what does not fit is handed back and never waited for in the
//! reader.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::reader::Sighting;
use super::turns::Turns;

/// Many may put in, many may take out.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    /// Something came in. Each item wakes one who takes, not all of them.
    arrived: Condvar,
    /// There is room again.
    left: Condvar,
    items_max: usize,
}

#[derive(Debug, Default)]
struct State {
    turns: Turns<Sighting>,
    is_closed: bool,
}

impl Line {
    /// Room for `items_max` sightings of all users together.
    pub(super) fn new(items_max: usize) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), left: Condvar::new(), items_max }
    }

    /// Puts a sighting in its user's line, or hands it back at once when there is no room or the lines are closed.
    pub(super) fn offer(&self, sighting: Sighting) -> Result<(), Sighting> {
        let mut state = self.lock();
        if state.is_closed || state.turns.len() >= self.items_max {
            return Err(sighting);
        }
        state.turns.push(sighting.user, sighting);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts a sighting in, waiting for room; false when the lines are closed.
    pub(super) fn put(&self, sighting: Sighting) -> bool {
        let mut state = self.lock();
        while !state.is_closed && state.turns.len() >= self.items_max {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_open = !state.is_closed;
        if is_open {
            state.turns.push(sighting.user, sighting);
        }
        drop(state);
        self.arrived.notify_one();
        is_open
    }

    /// Takes the first of the next user, waiting for one; `None` when the lines are closed and empty.
    pub(super) fn take(&self) -> Option<Sighting> {
        let mut state = self.lock();
        loop {
            if let Some(sighting) = state.turns.pop() {
                drop(state);
                self.left.notify_one();
                return Some(sighting);
            }
            if state.is_closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more goes in; what is there can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
        self.left.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::held::Target;
    use crate::exec::reader::Manner;

    fn sighting(user: u32, pid: i32) -> Sighting {
        let target = Target::Open(tempfile::tempfile().unwrap());
        Sighting { target, given: None, manner: Manner::Told, user, pid, process: None, observed_at: 0 }
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
