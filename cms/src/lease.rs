//! How long a connection may stand while nothing is done on it. Places for connections are few, and taking one costs a peer nothing;
//! so a connection is kept for the work on it ([`Hold`]) and for a rest after it ([`Watch`]), not for having been opened.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What a connection and the work on it share. Clones are the same lease.
#[derive(Debug, Clone)]
pub(crate) struct Lease(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    holds: usize,
    idle_since: Instant,
}

/// Work on a connection, from its making to its drop.
#[derive(Debug)]
pub(crate) struct Hold(Lease);

/// The connection's side: says when it has stood idle for too long.
#[derive(Debug)]
pub(crate) struct Watch {
    lease: Lease,
    rest: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Lease {
    /// Of a connection that was opened just now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { holds: 0, idle_since: Instant::now() })))
    }

    /// Keeps the connection for as long as the hold lives.
    pub(crate) fn hold(&self) -> Hold {
        self.state().holds += 1;
        Hold(self.clone())
    }

    /// Something was just done on the connection.
    pub(crate) fn touch(&self) {
        self.state().idle_since = Instant::now();
    }

    /// Begins to watch for `rest` without work.
    pub(crate) fn watch(&self, rest: Duration) -> Watch {
        Watch { lease: self.clone(), rest, timer: Box::pin(tokio::time::sleep(rest)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holds -= 1;
        state.idle_since = Instant::now();
    }
}

impl Watch {
    /// Whether the connection is to end. When not, the task of `context` is woken for the next look.
    pub(crate) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        while let Poll::Ready(()) = self.timer.as_mut().poll(context) {
            let now = Instant::now();
            let end = {
                let state = self.lease.state();
                if state.holds > 0 { now + self.rest } else { state.idle_since + self.rest }
            };
            if end <= now {
                return true;
            }
            self.timer.as_mut().reset(end);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(60);

    async fn over(watch: &mut Watch) -> Instant {
        std::future::poll_fn(|context| if watch.is_over(context) { Poll::Ready(()) } else { Poll::Pending }).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_nobody_uses_ends_after_the_rest() {
        let began = Instant::now();
        assert_eq!(over(&mut Lease::new().watch(REST)).await, began + REST);
    }

    #[tokio::test(start_paused = true)]
    async fn work_keeps_it_and_the_rest_begins_when_the_last_work_ends() {
        let lease = Lease::new();
        let mut watch = lease.watch(REST);
        let (one, other) = (lease.hold(), lease.hold());
        tokio::select! {
            _ = over(&mut watch) => panic!("ended while work was done on it"),
            () = tokio::time::sleep(REST * 10 + REST / 2) => {}
        }
        drop(one);
        let ended = Instant::now();
        drop(other);
        assert_eq!(over(&mut watch).await, ended + REST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_touch_begins_the_rest_anew() {
        let lease = Lease::new();
        let mut watch = lease.watch(REST);
        tokio::time::sleep(REST / 2).await;
        lease.touch();
        let touched = Instant::now();
        assert_eq!(over(&mut watch).await, touched + REST);
    }
}
