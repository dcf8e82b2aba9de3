//! One task that takes every wake-up and tells the sessions it is for. With ten thousand sessions each listening for itself, every
//! wake-up would stir ten thousand tasks to wake one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::place::Sessions;
use crate::signals::Wakes;

pub(super) async fn dispatch(sessions: Arc<Sessions>, mut wakes: Wakes, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            wake = wakes.next() => sessions.wake(&wake),
        }
    }
}
