//! A bounded queue between threads: what does not fit is handed back, never stored and never waited for in the reader.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is put in with [`Queue::offer_for_later`] may wait for so long.
pub(super) const SOON: Duration = Duration::from_millis(10);

/// Many may put in, many may take out.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Something came in. Each item wakes one who takes, not all of them.
    arrived: Condvar,
    /// There is room again.
    left: Condvar,
    items_max: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    is_closed: bool,
    /// Who takes waits for something, and comes back by himself only later than [`SOON`].
    is_idle: bool,
}

impl<T> Queue<T> {
    /// Room for `items_max` items, all of it taken now: putting in never allocates.
    pub(super) fn new(items_max: usize) -> Self {
        let state = State { items: VecDeque::with_capacity(items_max), is_closed: false, is_idle: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), left: Condvar::new(), items_max }
    }

    /// Puts an item in, or hands it back at once when the queue is full or closed.
    pub(super) fn offer(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.is_closed || state.items.len() >= self.items_max {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// As [`Queue::offer`], for what is in no hurry: whoever takes is not woken when he comes back soon anyway.
    pub(super) fn offer_for_later(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.is_closed || state.items.len() >= self.items_max {
            return Err(item);
        }
        state.items.push_back(item);
        let is_idle = state.is_idle;
        drop(state);
        if is_idle {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Puts an item in, waiting for room; hands it back when the queue is closed.
    pub(super) fn put(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        while !state.is_closed && state.items.len() >= self.items_max {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes the oldest item, waiting for one; `None` when the queue is closed and empty.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                drop(state);
                self.left.notify_one();
                return Some(item);
            }
            if state.is_closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the oldest item, waiting for one at most this long; `Err` when the queue is closed and empty.
    pub(super) fn take_within(&self, wait: Duration) -> Result<Option<T>, ()> {
        let mut state = self.lock();
        if state.items.is_empty() && !state.is_closed {
            (state, _) = self.arrived.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
        let item = state.items.pop_front();
        let is_over = item.is_none() && state.is_closed;
        drop(state);
        self.left.notify_one();
        if is_over { Err(()) } else { Ok(item) }
    }

    /// Takes all items there are, waiting for one at most this long; `Err` when the queue is closed and empty. For one who takes alone.
    pub(super) fn take_all_within(&self, wait: Duration, into: &mut Vec<T>) -> Result<(), ()> {
        let mut state = self.lock();
        if state.items.is_empty() && !state.is_closed {
            state.is_idle = wait > SOON;
            (state, _) = self.arrived.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            state.is_idle = false;
        }
        if state.items.is_empty() && state.is_closed {
            return Err(());
        }
        into.extend(state.items.drain(..));
        drop(state);
        self.left.notify_all();
        Ok(())
    }

    /// Takes up to `items_max` items that are there already.
    pub(super) fn take_more(&self, items_max: usize, into: &mut Vec<T>) {
        let mut state = self.lock();
        let count = state.items.len().min(items_max);
        into.extend(state.items.drain(..count));
        drop(state);
        self.left.notify_all();
    }

    /// Nothing more goes in; what is there can still be taken.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
        self.left.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn what_does_not_fit_is_handed_back() {
        let queue = Queue::new(2);
        assert_eq!((queue.offer(1), queue.offer(2), queue.offer(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!(queue.take(), Some(1));
        assert_eq!(queue.offer(4), Ok(()));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_over() {
        let queue = Queue::new(4);
        queue.offer(1).unwrap();
        queue.offer(2).unwrap();
        queue.close();
        assert_eq!(queue.offer(3), Err(3));
        assert_eq!(queue.put(3), Err(3));
        let mut rest = vec![queue.take().unwrap()];
        queue.take_more(10, &mut rest);
        assert_eq!(rest, [1, 2]);
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn what_is_in_no_hurry_wakes_only_who_would_not_come_soon() {
        let queue = Queue::new(4);
        let mut taken = Vec::new();
        queue.offer_for_later(1).unwrap();
        queue.take_all_within(SOON, &mut taken).unwrap();
        assert_eq!(taken, [1]);
        std::thread::scope(|scope| {
            let idle = scope.spawn(|| {
                let mut taken = Vec::new();
                queue.take_all_within(Duration::from_secs(600), &mut taken).map(|()| taken)
            });
            while !queue.lock().is_idle {
                std::thread::yield_now();
            }
            queue.offer_for_later(2).unwrap();
            assert_eq!(idle.join().unwrap(), Ok(vec![2]));
        });
        assert!(!queue.lock().is_idle);
        queue.close();
        assert_eq!((queue.offer_for_later(3), queue.take_all_within(SOON, &mut taken)), (Err(3), Err(())));
    }

    #[test]
    fn whoever_waits_is_woken() {
        let queue = Arc::new(Queue::new(1));
        let taker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || (0..3).filter_map(|_| queue.take()).collect::<Vec<i32>>()
        });
        for item in 0..3 {
            queue.put(item).unwrap();
        }
        assert_eq!(taker.join().unwrap(), [0, 1, 2]);
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.take()
        });
        queue.close();
        assert_eq!(waiting.join().unwrap(), None);
    }
}
