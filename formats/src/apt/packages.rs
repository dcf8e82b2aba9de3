//! An index of packages: which archive belongs to which package, and its digest. Large: 60 MB and more for a distribution, so it is
//! read as a stream and a stanza that is no use costs itself alone.

use std::io::BufRead;

use doorward_policy::Sha256;

use crate::StanzaProblem;
use crate::deb822::{Stanzas, word};

/// Bytes of a field that is kept; paths in a pool have some hundred.
const VALUE_BYTES_MAX: usize = 4096;

const FIELDS: [&str; 6] = ["Package", "Version", "Architecture", "Filename", "Size", "SHA256"];

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub architecture: String,
    /// Below the repository's address.
    pub file_name: String,
    /// Bytes of the archive.
    pub size: u64,
    /// Of the archive.
    pub sha256: Sha256,
}

/// The archives of an index.
pub struct Packages<R>(Stanzas<R, 6>);

impl<R: BufRead> Packages<R> {
    /// Reads an index from its beginning.
    pub const fn new(index: R) -> Self {
        Self(Stanzas::new(index, FIELDS, VALUE_BYTES_MAX))
    }

    /// The next archive that has a digest that counts; `Ok(None)` at the end.
    ///
    /// # Errors
    /// The index is damaged: nothing of it may be used.
    pub fn next_entry(&mut self) -> Result<Option<IndexEntry>, StanzaProblem> {
        while let Some(stanza) = self.0.next()? {
            if let Some(entry) = entry(&stanza) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

fn entry([package, version, architecture, file_name, size, sha256]: &[Option<Vec<u8>>; 6]) -> Option<IndexEntry> {
    let text = |value: &Option<Vec<u8>>| word(value.as_deref()).map(str::to_owned);
    Some(IndexEntry {
        package: text(package)?,
        version: text(version)?,
        architecture: text(architecture)?,
        file_name: text(file_name)?,
        size: word(size.as_deref())?.parse().ok()?,
        sha256: Sha256::from_hex(sha256.as_deref()?)?,
    })
}
