//! The generation of package trust that counts now. Replaced whole, and only by one that is whole.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use doorward_policy::{DigestAlgorithm, KeyFingerprint, PackageEvidence, PackageManager, PathBytes};

use super::register::Register;
use super::{Ledger, PackageTrust, TrustError, Unread, dpkg, rpm, unpacked};
use crate::identify::Digests;

/// Every manager whose database is looked for.
const MANAGERS: [PackageManager; 2] = [PackageManager::Dpkg, PackageManager::Rpm];

/// Shared by everyone who asks; asking takes no lock.
#[derive(Debug)]
pub struct Trust {
    root: PathBuf,
    current: ArcSwapOption<PackageTrust>,
    /// Held while a register takes its place, so that two never lose each other.
    replacing: Mutex<()>,
    generation: AtomicU64,
    /// When dpkg's lists had last changed when they were read.
    lists_changed: ArcSwapOption<(i64, i64)>,
    /// What rpm has installed since its database was read.
    newer: rpm::Newer,
    ledger: Ledger,
}

impl Trust {
    /// Reads the databases below `root` for the first time. One that is not whole is better than none here; the errors tell
    /// which could not be read at all.
    #[must_use]
    pub fn open(root: &Path) -> (Self, Vec<Unread>) {
        Self::with_ledger(root, Ledger::in_memory())
    }

    /// As [`Self::open`], with what was seen in signed archives.
    #[must_use]
    pub fn with_ledger(root: &Path, ledger: Ledger) -> (Self, Vec<Unread>) {
        let trust = Self {
            root: root.to_owned(),
            current: ArcSwapOption::empty(),
            replacing: Mutex::default(),
            generation: AtomicU64::new(0),
            lists_changed: ArcSwapOption::empty(),
            newer: rpm::Newer::default(),
            ledger,
        };
        let read = |manager| match trust.read(manager) {
            Ok(fresh) => {
                trust.put(manager, fresh);
                None
            }
            Err(error) => Some(Unread { manager, error }),
        };
        let unread = MANAGERS.into_iter().filter_map(read).collect();
        (trust, unread)
    }

    /// Where the databases' root is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The generation that counts; `None` on a host without any package database.
    #[must_use]
    pub fn current(&self) -> Option<Arc<PackageTrust>> {
        self.current.load_full()
    }

    /// Reads a manager's database again. One of rpm's that has not changed is left alone.
    ///
    /// # Errors
    /// What was read before stays: the new state could not be read or is not whole.
    pub fn reload(&self, manager: PackageManager) -> Result<(), TrustError> {
        if manager == PackageManager::Rpm && self.newer.is_unchanged(&self.root) {
            return Ok(());
        }
        let fresh = self.read(manager)?;
        if self.current.load().as_ref().is_some_and(|current| current.register(manager).is_some()) {
            match &fresh.register {
                None => return Err(TrustError::Incomplete("it is gone")),
                Some(fresh) => fresh.incompleteness.map_or(Ok(()), |what| Err(TrustError::Incomplete(what)))?,
            }
        }
        self.put(manager, fresh);
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// What packages say of content with these digests at this path: the databases, and over them the ledger, as far as its archives are
    /// signed by `keys`, or by anybody when there are none.
    #[must_use]
    pub fn evidence(&self, path: &PathBytes, digests: &Digests, keys: &[KeyFingerprint]) -> Option<PackageEvidence> {
        let database = self.current().and_then(|current| current.evidence(path, digests));
        self.ledger.evidence(&self.place(path.as_bytes()), &digests.sha256, database, keys)
    }

    /// Where a path really lies, relative to the root.
    #[must_use]
    pub fn place(&self, path: &[u8]) -> Vec<u8> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        self.current().map_or_else(|| path.to_vec(), |current| current.place(path).into_owned())
    }

    /// What was seen in signed archives.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn read(&self, manager: PackageManager) -> Result<Fresh, TrustError> {
        match manager {
            PackageManager::Dpkg => {
                let lists_changed = unpacked::lists_changed(&self.root).map(Arc::new);
                Ok(Fresh { register: dpkg::load(&self.root)?, lists_changed, newest: None })
            }
            PackageManager::Rpm => {
                let loaded = rpm::load_newer(&self.root, 0)?;
                let newest = loaded.as_ref().map(|loaded| (loaded.stamp.clone(), loaded.newest));
                Ok(Fresh { register: loaded.map(|loaded| loaded.register), lists_changed: None, newest })
            }
        }
    }

    /// Absolute paths that a package of dpkg's claims below the root, directories among them; none of one that is not installed. `None`
    /// when the database cannot be read. Reads it anew, from the disk.
    #[must_use]
    pub fn paths_of(&self, package: &str) -> Option<Vec<PathBytes>> {
        dpkg::paths_of(&self.root, package)
    }

    fn put(&self, manager: PackageManager, fresh: Fresh) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full().unwrap_or_default();
        self.current.store(current.with(manager, fresh.register.map(Arc::new)).map(Arc::new));
        match manager {
            PackageManager::Dpkg => self.lists_changed.store(fresh.lists_changed),
            PackageManager::Rpm => self.newer.read(fresh.newest),
        }
    }

    /// Whether a package manager is at work, or was since its database was last read: only then can [`Trust::was_unpacked`] say
    /// yes.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        unpacked::lists_changed(&self.root) != self.lists_changed.load().as_deref().copied() || !self.newer.is_unchanged(&self.root)
    }

    /// The algorithm in which a package lists this path's digest that was unpacked since the databases were last read.
    #[must_use]
    pub fn wanted_of_unpacked(&self, path: &PathBytes) -> Option<DigestAlgorithm> {
        match self.newer.later(&self.root) {
            Some(register) => PackageTrust::of(register).wanted_digest(path),
            None => Some(DigestAlgorithm::Md5),
        }
    }

    /// Whether a package that was unpacked since the databases were last read brought this content to this path. Reads its lists.
    #[must_use]
    pub fn was_unpacked(&self, path: &PathBytes, digests: &Digests) -> bool {
        let by_dpkg = |md5| unpacked::lists_content(&self.root, self.lists_changed.load().as_deref().copied(), path, &md5);
        let by_rpm = |register| PackageTrust::of(register).owner(path).is_some_and(|owner| owner.is_match(digests));
        digests.md5().is_some_and(by_dpkg) || self.newer.later(&self.root).is_some_and(by_rpm)
    }

    /// Rises after every change, so that what was concluded before can be told from what holds now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire).wrapping_add(self.ledger.generation())
    }
}

/// A manager's register, and what it was read from.
struct Fresh {
    register: Option<Register>,
    lists_changed: Option<Arc<(i64, i64)>>,
    newest: Option<(rpm::Stamp, u32)>,
}
