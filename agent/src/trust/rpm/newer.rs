//! Packages that rpm installed since the database was last read. rpm puts a package's files in place, then its header into
//! the database, and then runs the package's own scripts, long before the whole transaction is over.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::register::Register;
use super::{Loaded, Stamp, load_newer};

/// What was read when, and what has been read of later packages since. Shared by reference.
#[derive(Debug, Default)]
pub(in super::super) struct Newer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Of the last whole reading.
    read: Option<(Stamp, u32)>,
    /// `None` where it could not be read in this state, which is not tried again.
    later: Option<(Stamp, Option<Arc<Register>>)>,
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

    /// What was installed since; `None` when nothing was, or when the database cannot be read just now. Reads again only when
    /// something changed.
    pub(in super::super) fn later(&self, root: &Path) -> Option<Arc<Register>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamp::of(root)?;
        if state.read.as_ref().is_some_and(|(stamp, _)| *stamp == now) {
            return None;
        }
        if let Some((_, register)) = state.later.as_ref().filter(|(stamp, _)| *stamp == now) {
            return register.clone();
        }
        let newest = state.read.as_ref().map_or(0, |(_, newest)| *newest);
        let (stamp, register) = match load_newer(root, newest) {
            Ok(Some(Loaded { register, stamp, .. })) => (stamp, Some(Arc::new(register))),
            Ok(None) | Err(_) => (now, None),
        };
        state.later = Some((stamp, register.clone()));
        register
    }
}
