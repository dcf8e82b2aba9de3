//! Notices that a package database changes, waits for it to rest, and has it read again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use doorward_policy::PackageManager;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Trust, TrustError, Unread, database, rpm};

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
    watcher: Arc<Mutex<Option<RecommendedWatcher>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch `trust`'s databases; `told` hears the outcome of every reading, on the watch's own thread. On a host
    /// without any, the folders in which one would appear are watched.
    ///
    /// # Errors
    /// When the kernel refuses the watches or the thread: the generation then stays what it is until somebody reloads it.
    pub fn start(trust: Arc<Trust>, told: impl Fn(Result<(), Unread>) + Send + 'static) -> Result<Self, TrustError> {
        let folders = Arc::new(Folders::below(trust.root()));
        // One waiting note is enough, however many changes it stands for.
        let (note, notes) = sync_channel(1);
        let changed = Arc::new(Changed::default());
        let mut watcher = watcher(Arc::clone(&folders), Arc::clone(&changed), note).map_err(TrustError::Watch)?;
        folders.watch(&mut watcher).map_err(TrustError::Watch)?;
        let watcher = Arc::new(Mutex::new(Some(watcher)));
        let shared = Arc::clone(&watcher);
        let thread = thread::Builder::new()
            .name("package-watch".to_owned())
            .spawn(move || {
                let longest = Duration::from_millis(WAIT_MAX_MS);
                let mut pause = longest;
                while wait_for_rest(&notes, Duration::from_millis(QUIET_MS), longest.max(pause)) {
                    // A folder that was made anew is another one, with the same name.
                    match shared.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(|watcher| folders.watch(watcher)) {
                        None => return,
                        Some(Err(error)) => tracing::warn!(%error, "a package database may change unnoticed"),
                        Some(Ok(())) => {}
                    }
                    let started = Instant::now();
                    for manager in changed.take() {
                        told(trust.reload(manager).map_err(|error| Unread { manager, error }));
                    }
                    pause = started.elapsed() * PAUSE_SHARE;
                }
            })
            .map_err(TrustError::Thread)?;
        Ok(Self { watcher, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The watcher owns the other end of the notes: without it the thread ends.
        drop(self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Which databases changed since they were last read.
#[derive(Debug, Default)]
struct Changed {
    dpkg: AtomicBool,
    rpm: AtomicBool,
}

impl Changed {
    fn note(&self, manager: PackageManager) {
        self.of(manager).store(true, Ordering::Release);
    }

    fn take(&self) -> impl Iterator<Item = PackageManager> {
        [PackageManager::Dpkg, PackageManager::Rpm].into_iter().filter(|manager| self.of(*manager).swap(false, Ordering::AcqRel))
    }

    const fn of(&self, manager: PackageManager) -> &AtomicBool {
        match manager {
            PackageManager::Dpkg => &self.dpkg,
            PackageManager::Rpm => &self.rpm,
        }
    }
}

/// Where databases are, or would be.
#[derive(Debug)]
struct Folders {
    dpkg: PathBuf,
    rpm: [PathBuf; 2],
}

impl Folders {
    fn below(root: &Path) -> Self {
        Self { dpkg: root.join(database::FOLDER), rpm: rpm::FOLDERS.map(|folder| root.join(folder)) }
    }

    /// Watches every folder that is there, and the folders in which others may appear.
    fn watch(&self, watcher: &mut RecommendedWatcher) -> notify::Result<()> {
        let parts = ["", "info", "updates"].map(|part| self.dpkg.join(part));
        let parents = self.rpm.iter().filter_map(|folder| folder.parent().map(Path::to_owned));
        for folder in parts.into_iter().chain(self.rpm.clone()).chain(parents).filter(|folder| folder.is_dir()) {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(())
    }

    /// Whose database a changed path belongs to.
    fn owner(&self, path: &Path) -> Option<PackageManager> {
        if path.starts_with(&self.dpkg) {
            return Some(PackageManager::Dpkg);
        }
        let is_rpms = self.rpm.iter().any(|folder| path.starts_with(folder)) && !rpm::is_noise(path);
        is_rpms.then_some(PackageManager::Rpm)
    }
}

fn watcher(folders: Arc<Folders>, changed: Arc<Changed>, note: SyncSender<()>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        let owners: Vec<_> = match event {
            Ok(event) if event.kind.is_access() => return,
            Ok(event) if !event.need_rescan() => event.paths.iter().filter_map(|path| folders.owner(path)).collect(),
            // Errors and overflows mean that something was missed: as good as a change.
            _ => vec![PackageManager::Dpkg, PackageManager::Rpm],
        };
        if owners.is_empty() {
            return;
        }
        owners.into_iter().for_each(|manager| changed.note(manager));
        let _ = note.try_send(());
    })
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
