//! Packages that rpm installed since the database was last read. rpm puts a package's files in place, then its header into
//! the database, and then runs the package's own scripts, long before the whole transaction is over.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::TrustError;
use super::super::register::Register;
use super::{Loaded, Stamp, load_newer};

/// What was read when, and what has been read of later packages since. Shared by reference.
#[derive(Debug, Default)]
pub(in super::super) struct Newer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Of the last whole reading.
    read: Option<(Stamp, u32)>,
    later: Option<(Stamp, Arc<Register>)>,
}

impl Newer {
    /// Takes note of a whole reading.
    pub(in super::super) fn read(&self, loaded: Option<(Stamp, u32)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State { read: loaded, later: None };
    }

    /// Whether the database is as it was when it was last read.
    pub(in super::super) fn is_unchanged(&self, root: &Path) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Stamp::of(root) == state.read.as_ref().map(|(stamp, _)| stamp.clone())
    }

    /// What was installed since; `None` when nothing was. Reads again only when something changed.
    ///
    /// # Errors
    /// When the database cannot be read just now.
    pub(in super::super) fn later(&self, root: &Path) -> Result<Option<Arc<Register>>, TrustError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(now) = Stamp::of(root) else { return Ok(None) };
        if state.read.as_ref().is_some_and(|(stamp, _)| *stamp == now) {
            return Ok(None);
        }
        if let Some((_, register)) = state.later.as_ref().filter(|(stamp, _)| *stamp == now) {
            return Ok(Some(Arc::clone(register)));
        }
        let newest = state.read.as_ref().map_or(0, |(_, newest)| *newest);
        let Some(Loaded { register, stamp, .. }) = load_newer(root, newest)? else { return Ok(None) };
        let register = Arc::new(register);
        state.later = Some((stamp, Arc::clone(&register)));
        Ok(Some(register))
    }
}
