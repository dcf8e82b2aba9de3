//! Notices that the package database changes, waits for it to rest, and has it read again.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::database::FOLDER;
use super::{Trust, TrustError};

/// A database that stays as it is for so long is read. dpkg changes it some times for each package.
const QUIET_MS: u64 = 250;

/// One that never rests is read all the same, after so long: a change counts within a second, the reading included.
const WAIT_MAX_MS: u64 = 700;

/// A reading that took long is not followed by another before so many times its length: a transaction of minutes shall not keep a core
/// busy.
const PAUSE_SHARE: u32 = 4;

/// Watches until dropped, which waits for a reading under way (some 100 ms).
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch `trust`'s database; `told` hears the outcome of every reading, on the watch's own thread. On a host
    /// without dpkg there is nothing to watch, and nothing is.
    ///
    /// # Errors
    /// When the kernel refuses the watches or the thread: the generation then stays what it is until somebody reloads it.
    pub fn start(trust: Arc<Trust>, told: impl Fn(Result<(), TrustError>) + Send + 'static) -> Result<Self, TrustError> {
        let folder = trust.root().join(FOLDER);
        if !folder.is_dir() {
            return Ok(Self { watcher: None, thread: None });
        }
        // One waiting note is enough, however many changes it stands for.
        let (note, notes) = sync_channel(1);
        let watcher = watcher(&folder, note).map_err(TrustError::Watch)?;
        let thread = thread::Builder::new()
            .name("package-watch".to_owned())
            .spawn(move || {
                let longest = Duration::from_millis(WAIT_MAX_MS);
                let mut pause = longest;
                while wait_for_rest(&notes, Duration::from_millis(QUIET_MS), longest.max(pause)) {
                    let started = Instant::now();
                    told(trust.reload());
                    pause = started.elapsed() * PAUSE_SHARE;
                }
            })
            .map_err(TrustError::Thread)?;
        Ok(Self { watcher: Some(watcher), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The watcher owns the other end of the notes: without it the thread ends.
        drop(self.watcher.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watcher(folder: &Path, note: SyncSender<()>) -> notify::Result<RecommendedWatcher> {
    // Errors and overflows mean that something was missed: as good as a change.
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        let _ = note.try_send(());
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    for part in ["info", "updates"].map(|part| folder.join(part)) {
        if part.is_dir() {
            watcher.watch(&part, RecursiveMode::NonRecursive)?;
        }
    }
    Ok(watcher)
}

/// Waits for a note, then until none has come for `quiet`, at most `longest`. False when the watcher is gone.
fn wait_for_rest(notes: &Receiver<()>, quiet: Duration, longest: Duration) -> bool {
    if notes.recv().is_err() {
        return false;
    }
    let first = Instant::now();
    loop {
        let left = longest.saturating_sub(first.elapsed());
        match notes.recv_timeout(quiet.min(left)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}
