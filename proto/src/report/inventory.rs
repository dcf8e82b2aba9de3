//! The inventory: packages and publishers behind files that were settled on the host, never the files themselves.

use doorward_policy::{PackageEvidence, PublisherEvidence};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::{limit, v1};

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A package of the operating system.
    Package(PackageEvidence),
    /// Somebody who signs files.
    Publisher(PublisherEvidence),
}

/// One source and how many files it settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventorySource {
    /// The source.
    pub source: Source,
    /// Candidates it settled.
    pub files: u64,
    /// Those of them that were executed.
    pub executed: u64,
    /// Candidates at its paths whose content is not its own.
    pub modified: u64,
    /// A whole scan counted them; otherwise executions alone did.
    pub scanned: bool,
}

/// Sources and their counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// At most [`limit::INVENTORY_SOURCES_MAX`] in one report; see [`Inventory::split`].
    pub sources: Vec<InventorySource>,
    /// What this report does not name is gone.
    pub complete: bool,
}

impl Inventory {
    /// Cuts an inventory of any size into reports that fit their limits. Of a complete one only the first part is complete: whoever
    /// takes them in order forgets everything else first and then adds.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = Self { sources: Vec::new(), complete: self.complete };
        let mut bytes = 0;
        for source in self.sources {
            let width = encoded_width(v1::InventorySource::from(source.clone()).encoded_len());
            if part.sources.len() == limit::INVENTORY_SOURCES_MAX || bytes + width > limit::LIST_BYTES_MAX {
                parts.push(std::mem::take(&mut part));
                bytes = 0;
            }
            bytes += width;
            part.sources.push(source);
        }
        parts.push(part);
        parts
    }
}

/// Bytes an element of this encoded length takes in its list, tag and length included, at most.
pub(crate) fn encoded_width(len: usize) -> usize {
    len + 1 + prost::length_delimiter_len(len)
}
