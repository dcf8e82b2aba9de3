//! Which mounts a scan may touch.

use crate::exec::mount::{Mount, Watching};

/// How far a mount's files may be touched by a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Locality {
    /// Walked.
    Local,
    /// Walked only when a scan starts on it.
    Layered,
    /// Never touched.
    Other,
}

impl Locality {
    pub(super) fn of(mount: &Mount) -> Self {
        match mount.watching() {
            // Its layers are walked themselves: of interest only when they are all there is.
            Watching::Watched if mount.is_layered() => Self::Layered,
            Watching::Watched => Self::Local,
            Watching::Needless | Watching::Impossible(_) => Self::Other,
        }
    }
}
