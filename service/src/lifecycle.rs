//! From the first signal to the last task: SIGTERM and SIGINT ask to stop, SIGHUP asks to look at the configuration again.
//! A second stop signal ends the process at once, for a person who has waited long enough.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Exit status of a process that was told twice to stop: 128 + SIGTERM, as a shell would show it.
const IMPATIENT_EXIT: i32 = 143;

/// The tasks of a program and the word that ends them. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    cancel: CancellationToken,
    reload: Arc<Notify>,
    tracker: TaskTracker,
}

/// Tasks that did not end within the grace they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{tasks} tasks did not end within {} ms", grace.as_millis())]
pub struct Overdue {
    /// How many still ran.
    pub tasks: usize,
    /// How long they were given.
    pub grace: Duration,
}

impl Lifecycle {
    /// A life that only [`Self::stop`] ends; for tests and commands.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A life that signals end and reload.
    ///
    /// # Errors
    /// When the kernel does not let us listen for signals.
    pub fn with_signals() -> io::Result<Self> {
        let lifecycle = Self::new();
        let (terminate, interrupt, hangup) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
        // Not tracked: it must outlive the shutdown in order to hear the second signal.
        drop(untracked(lifecycle.clone().listen(terminate, interrupt, hangup)));
        Ok(lifecycle)
    }

    async fn listen(self, mut terminate: Signal, mut interrupt: Signal, mut hangup: Signal) {
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    // Kept for whoever asks next: a request must not be lost because nobody was waiting yet.
                    self.reload.notify_one();
                    continue;
                }
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if self.cancel.is_cancelled() {
                tracing::warn!("told to stop a second time: ending at once");
                std::process::exit(IMPATIENT_EXIT);
            }
            tracing::info!("told to stop");
            self.stop();
        }
    }

    /// The word that ends everything; hand out clones and children of it.
    #[must_use]
    pub fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Asks everything to end.
    pub fn stop(&self) {
        self.cancel.cancel();
    }

    /// Waits until somebody asks to stop.
    pub async fn stopped(&self) {
        self.cancel.cancelled().await;
    }

    /// Waits for the next request to look at the configuration again.
    pub async fn reload(&self) {
        self.reload.notified().await;
    }

    /// Starts a task that belongs to this life: [`Self::shutdown`] waits for it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(task)
    }

    /// Starts blocking work that belongs to this life.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    /// Asks everything to end and waits for it, but no longer than the grace.
    ///
    /// # Errors
    /// [`Overdue`] when tasks still run afterwards; the caller decides whether that matters.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), Overdue> {
        self.stop();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.map_err(|_| Overdue { tasks: self.tracker.len(), grace })
    }
}

#[expect(clippy::disallowed_methods, reason = "the signal listener belongs to the process, not to a life")]
fn untracked(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Lifecycle, Overdue};

    #[tokio::test]
    async fn shutdown_waits_for_what_is_ending() {
        let lifecycle = Lifecycle::new();
        let cancel = lifecycle.cancel();
        let task = lifecycle.spawn(async move { cancel.cancelled().await });
        assert_eq!(lifecycle.shutdown(Duration::from_secs(10)).await, Ok(()));
        assert!(task.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_counts_what_will_not_end() {
        let lifecycle = Lifecycle::new();
        let _stubborn = lifecycle.spawn(std::future::pending::<()>());
        let grace = Duration::from_secs(5);
        assert_eq!(lifecycle.shutdown(grace).await, Err(Overdue { tasks: 1, grace }));
    }

    #[tokio::test]
    async fn stop_reaches_every_clone() {
        let lifecycle = Lifecycle::new();
        let clone = lifecycle.clone();
        clone.stop();
        lifecycle.stopped().await;
    }
}
