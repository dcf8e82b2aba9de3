//! The generation of package trust that counts now. Replaced whole, and only by one that is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use doorward_policy::{KeyFingerprint, Md5, PackageEvidence, PathBytes};

use super::{Ledger, PackageTrust, TrustError, unpacked};
use crate::identify::Digests;

/// Shared by everyone who asks; asking takes no lock.
#[derive(Debug)]
pub struct Trust {
    root: PathBuf,
    current: ArcSwapOption<PackageTrust>,
    generation: AtomicU64,
    /// When dpkg's lists had last changed when they were read.
    lists_changed: ArcSwapOption<(i64, i64)>,
    ledger: Ledger,
}

impl Trust {
    /// Reads the database below `root` for the first time. One that is not whole is better than none here; the error tells
    /// why there is none.
    #[must_use]
    pub fn open(root: &Path) -> (Self, Option<TrustError>) {
        Self::with_ledger(root, Ledger::in_memory())
    }

    /// As [`Self::open`], with what was seen in signed archives.
    #[must_use]
    pub fn with_ledger(root: &Path, ledger: Ledger) -> (Self, Option<TrustError>) {
        let lists_changed = unpacked::lists_changed(root).map(Arc::new);
        let (current, error) = match PackageTrust::load(root) {
            Ok(current) => (current.map(Arc::new), None),
            Err(error) => (None, Some(error)),
        };
        (
            Self {
                root: root.to_owned(),
                current: ArcSwapOption::new(current),
                generation: AtomicU64::new(0),
                lists_changed: ArcSwapOption::new(lists_changed),
                ledger,
            },
            error,
        )
    }

    /// Where the database's root is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The generation that counts; `None` on a host without dpkg.
    #[must_use]
    pub fn current(&self) -> Option<Arc<PackageTrust>> {
        self.current.load_full()
    }

    /// Reads the database again.
    ///
    /// # Errors
    /// The old generation stays: the new one could not be read or is not whole.
    pub fn reload(&self) -> Result<(), TrustError> {
        let lists_changed = unpacked::lists_changed(&self.root).map(Arc::new);
        let fresh = PackageTrust::load(&self.root)?;
        if self.current.load().is_some() {
            match &fresh {
                None => return Err(TrustError::Incomplete("it is gone")),
                Some(fresh) => fresh.incompleteness().map_or(Ok(()), |what| Err(TrustError::Incomplete(what)))?,
            }
        }
        self.current.store(fresh.map(Arc::new));
        self.lists_changed.store(lists_changed);
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// What packages say of content with these digests at this path: the database, and over it the ledger, as far as its archives are
    /// signed by `keys`, or by anybody when there are none.
    #[must_use]
    pub fn evidence(&self, path: &PathBytes, digests: &Digests, keys: &[KeyFingerprint]) -> Option<PackageEvidence> {
        let database = self.current().and_then(|current| current.evidence(path, digests.md5.as_ref()));
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

    /// Whether dpkg is at work, or was since the database was last read: only then can [`Trust::was_unpacked`] say yes.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        unpacked::lists_changed(&self.root) != self.lists_changed.load().as_deref().copied()
    }

    /// Whether a package that was unpacked since the database was last read brought this content to this path. Reads its lists.
    #[must_use]
    pub fn was_unpacked(&self, path: &PathBytes, md5: &Md5) -> bool {
        unpacked::lists_content(&self.root, self.lists_changed.load().as_deref().copied(), path, md5)
    }

    /// Rises after every change, so that what was concluded before can be told from what holds now.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire).wrapping_add(self.ledger.generation())
    }
}
