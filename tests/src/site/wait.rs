//! Waiting for something to become true, with a deadline and a sentence for when it does not.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Far more than it ever takes; only a broken program uses it up.
pub const PATIENCE: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(20);

/// Looks again until there is something.
///
/// # Panics
/// When [`PATIENCE`] is used up, with the sentence.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// As [`eventually`], with another deadline.
///
/// # Panics
/// When the deadline passes, with the sentence.
#[expect(clippy::panic, reason = "a test says what went wrong by panicking")]
pub fn eventually_within<T>(at_most: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        if Instant::now() > deadline {
            panic!("waited {} s in vain: {what}", at_most.as_secs());
        }
        thread::sleep(POLL);
    }
}
