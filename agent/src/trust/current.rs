//! The generation of package trust that counts now. Replaced whole, and only by one that is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{PackageTrust, TrustError};

/// Shared by everyone who asks; asking takes no lock.
#[derive(Debug)]
pub struct Trust {
    root: PathBuf,
    current: ArcSwapOption<PackageTrust>,
}

impl Trust {
    /// Reads the database below `root` for the first time. One that is not whole is better than none here; the error tells
    /// why there is none.
    #[must_use]
    pub fn open(root: &Path) -> (Self, Option<TrustError>) {
        let (current, error) = match PackageTrust::load(root) {
            Ok(current) => (current.map(Arc::new), None),
            Err(error) => (None, Some(error)),
        };
        (Self { root: root.to_owned(), current: ArcSwapOption::new(current) }, error)
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
        let fresh = PackageTrust::load(&self.root)?;
        if self.current.load().is_some() {
            match &fresh {
                None => return Err(TrustError::Incomplete("it is gone")),
                Some(fresh) => fresh.incompleteness().map_or(Ok(()), |what| Err(TrustError::Incomplete(what)))?,
            }
        }
        self.current.store(fresh.map(Arc::new));
        Ok(())
    }
}
