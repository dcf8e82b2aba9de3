//! How a file was met: run, loaded by something, or found by a scan.

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// The way a file came to be observed. Only `Execute` and `Load` mean that somebody used it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "use")]
pub enum Use {
    /// Started by `execve`.
    Execute,
    /// Read by a loader or an interpreter in order to run it.
    Load {
        /// The file that did the reading, when it is known.
        opener: Option<Sha256>,
    },
    /// Found on disk.
    Scan,
}

impl Use {
    /// The use's word in JSON, stores and listings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Load { .. } => "load",
            Self::Scan => "scan",
        }
    }
}
