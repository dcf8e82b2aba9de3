//! Opening: from whatever lies in the folder to a store that works, and an honest word about what that took.
//!
//! sled may fail, panic, come back empty or come back older. The first two put it aside; emptiness and age are seen by the note
//! beside it. A full disk, a lock or missing rights are no damage and put nothing aside; nor is anything put aside before there is a
//! new store to take its place, or every attempt on a bad disk would push out what is worth keeping. Runs on the store's own thread.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use doorward_service::clock::Clock;

use super::error::{Fault, Recovery};
use super::folder::Folder;
use super::generation::Generation;
use super::key::OPENINGS_MAX;
use super::limit::{CACHE_BYTES, CLEAN_EVERY_MS, LOCK_LINGER_MS, Limits, OPEN_FREE_BYTES_MIN};
use super::store::{Store, TREES};
use crate::system::durable;

/// Rows copied between flushes of sled's buffers during a compaction.
const COPY_ROWS_MAX: usize = 4_096;

/// How often a lingering lock is tried.
const LOCK_PAUSE_MS: u64 = 20;

/// What opening needs besides the folder.
pub(super) struct Opening<'a> {
    pub(super) folder: &'a Folder,
    pub(super) limits: Limits,
    pub(super) clock: &'a Clock,
    pub(super) mint_epoch: fn() -> io::Result<[u8; 16]>,
}

/// Why a store did not open.
enum Failure {
    /// Nothing is wrong with its content; trying again later is right.
    Outside(io::Error),
    /// Its content is damaged.
    Damaged(String),
}

impl Opening<'_> {
    /// Opens the store, or begins a new one. Everything that had to be done for it is added to `recoveries`.
    pub(super) fn open(&self, recoveries: &mut Vec<Recovery>) -> io::Result<Store> {
        // A file system that will not say how full it is may still do.
        if self.folder.free_bytes().is_ok_and(|free| free < OPEN_FREE_BYTES_MIN) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, format!("less than {OPEN_FREE_BYTES_MIN} bytes are free")));
        }
        self.folder.settle()?;
        let noted = Generation::read(&self.folder.generation())?;
        let store = match self.attempt(noted, recoveries) {
            Ok(Some(store)) => store,
            Ok(None) => self.begin_anew(recoveries, |to| Recovery::CameBackEmpty { to })?,
            Err(Failure::Damaged(why)) => self.begin_anew(recoveries, |to| Recovery::Quarantined { to, why })?,
            Err(Failure::Outside(error)) => return Err(error),
        };
        store.generation().write(&self.folder.generation())?;
        Ok(store)
    }

    /// One attempt at what is there; `None` when it should have held something and is empty.
    fn attempt(&self, noted: Option<Generation>, recoveries: &mut Vec<Recovery>) -> Result<Option<Store>, Failure> {
        guarded(|| {
            let db = self.sled(&self.folder.store())?;
            let inner = Store::inner_generation(&db)?;
            let opening = match (inner, noted) {
                (None, Some(_)) => return Ok(None),
                (None, None) => self.minted()?,
                (Some(inner), noted) => {
                    let expected = noted.filter(|noted| noted.epoch == inner.epoch).map_or(0, |noted| noted.opened);
                    if expected > inner.opened {
                        recoveries.push(Recovery::RolledBack { expected, found: inner.opened });
                    }
                    let opened = inner.opened.max(expected) + 1;
                    if opened < OPENINGS_MAX { Generation { opened, ..inner } } else { self.minted()? }
                }
            };
            let store = Store::load(db, opening, self.limits)?;
            if !store.wants_compaction()? {
                return Ok(Some(store));
            }
            drop(store);
            let db = match self.compact() {
                Ok(db) => db,
                // Whatever kept the copy from growing, the store itself is whole.
                Err(_) => {
                    self.folder.settle()?;
                    self.sled(&self.folder.store())?
                }
            };
            Ok(Some(Store::load(db, opening, self.limits)?))
        })
    }

    /// Makes a new store, and puts the old one aside for it.
    fn begin_anew(&self, recoveries: &mut Vec<Recovery>, aside: impl FnOnce(PathBuf) -> Recovery) -> io::Result<Store> {
        // What a failed attempt of this kind left goes too.
        self.folder.settle()?;
        let made = guarded(|| {
            let db = self.sled(&self.folder.compacted())?;
            drop(Store::load(db, self.minted()?, self.limits)?);
            Ok(durable::sync_folder(&self.folder.compacted().join("db"))?)
        });
        made.map_err(no_new_store)?;
        let to = self.folder.quarantine(self.clock.now_micros())?;
        self.folder.adopt_new()?;
        recoveries.push(aside(to));
        match self.attempt(None, recoveries) {
            Ok(store) => store.ok_or_else(|| io::Error::other("a new store is gone again")),
            Err(failure) => Err(no_new_store(failure)),
        }
    }

    fn minted(&self) -> io::Result<Generation> {
        Ok(Generation { epoch: (self.mint_epoch)()?, opened: 1 })
    }

    fn sled(&self, path: &std::path::Path) -> Result<sled::Db, Fault> {
        let config =
            sled::Config::new().path(path).cache_capacity(CACHE_BYTES).mode(sled::Mode::LowSpace).flush_every_ms(Some(CLEAN_EVERY_MS));
        let patience = Instant::now() + Duration::from_millis(LOCK_LINGER_MS);
        loop {
            match config.open() {
                // sled's threads let go of a closed store's lock a moment after the handle is gone.
                Err(sled::Error::Io(error)) if is_lock(&error) && Instant::now() < patience => {
                    sleep(Duration::from_millis(LOCK_PAUSE_MS));
                }
                opened => return Ok(opened?),
            }
        }
    }

    /// Copies what lives into a new store and puts it in the old one's place.
    fn compact(&self) -> Result<sled::Db, Fault> {
        {
            let (from, to) = (self.sled(&self.folder.store())?, self.sled(&self.folder.compacted())?);
            for name in TREES {
                let (from, to) = (from.open_tree(name)?, to.open_tree(name)?);
                for (count, row) in from.iter().enumerate() {
                    let (key, value) = row?;
                    to.insert(key, value)?;
                    if count % COPY_ROWS_MAX == COPY_ROWS_MAX - 1 {
                        to.flush()?;
                    }
                }
            }
            to.flush()?;
        }
        durable::sync_folder(&self.folder.compacted().join("db"))?;
        self.folder.adopt_compacted()?;
        self.sled(&self.folder.store())
    }
}

fn no_new_store(failure: Failure) -> io::Error {
    match failure {
        Failure::Outside(error) => error,
        Failure::Damaged(why) => io::Error::other(format!("a new store cannot be made either: {why}")),
    }
}

/// Runs sled code and sorts what comes of it: its panics are damage like its errors.
fn guarded<T>(act: impl FnOnce() -> Result<T, Fault>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Fault::File(error))) => Err(Failure::Outside(error)),
        Ok(Err(Fault::Sled(sled::Error::Io(error)))) if is_outside(&error) => Err(Failure::Outside(error)),
        Ok(Err(fault)) => Err(Failure::Damaged(fault.to_string())),
        Err(panic) => Err(Failure::Damaged(panic_text(panic.as_ref()))),
    }
}

/// Whether an error says nothing about the store's content.
fn is_outside(error: &io::Error) -> bool {
    is_lock(error) || error.kind() == io::ErrorKind::PermissionDenied || passes(error)
}

/// Whether an error is one of want, which ends without anybody changing the folder: a full disk, for one.
pub(super) fn passes(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), OutOfMemory | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
        || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// sled gives its lock error no kind of its own.
fn is_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string().contains("could not acquire lock")
}

/// What a panic said, for a log line.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", text.unwrap_or_else(|| "without words".to_owned()))
}
