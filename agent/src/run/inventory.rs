//! The inventory: which packages and publishers settled files here, how many, and how many of those were executed. Never the files
//! themselves.
//!
//! A whole scan replaces the counts of files; executions add to theirs in between. Kept on disk so that a restart neither forgets
//! nor counts twice.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_policy::{PackageManager, Sha256};
use doorward_proto::limit::INVENTORY_SOURCES_MAX;
use doorward_proto::report::{Inventory, InventorySource, Source};
use serde::{Deserialize, Serialize};

use crate::scan::SourceCount;
use crate::system::durable;

/// Executed files remembered, so that each is counted once. Beyond it executions are not counted any more.
const EXECUTED_FILES_MAX: usize = 65_536;
/// Bytes of the file read at most: every package the wire takes, and every executed file.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Only root needs to know what is installed here.
const FILE_MODE: u32 = 0o600;

/// A source, whatever its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Package(PackageManager, String),
    Publisher(Sha256),
}

/// The inventory as it is kept. Shared by reference.
#[derive(Debug)]
pub(super) struct Book {
    path: PathBuf,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    sources: BTreeMap<Key, InventorySource>,
    executed: HashSet<u64>,
    changed: BTreeSet<Key>,
}

/// What is on disk.
#[derive(Serialize, Deserialize)]
struct Kept {
    sources: Vec<InventorySource>,
    executed: Vec<u64>,
}

impl Book {
    /// Opens the book at `path`. One that is missing or damaged is begun anew: the next scan fills it.
    pub(super) fn open(path: PathBuf) -> Self {
        let pages = read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "the inventory is begun anew; the next scan fills it");
            }
            Pages::default()
        });
        Self { path, pages: Mutex::new(pages) }
    }

    /// Counts an execution of a file its source settled; the same file is counted once.
    pub(super) fn note_execution(&self, source: Source, file: Sha256) {
        let mut pages = self.pages();
        if pages.executed.len() >= EXECUTED_FILES_MAX || !pages.executed.insert(short(&file)) {
            return;
        }
        let key = key(&source);
        if let Some(counts) = pages.sources.get_mut(&key) {
            counts.executed += 1;
            // Until a scan counts them all, those that were executed are all that is known of.
            counts.files = counts.files.max(counts.executed);
            counts.source = source;
        } else if pages.sources.len() < INVENTORY_SOURCES_MAX {
            pages.sources.insert(key.clone(), InventorySource { source, files: 1, executed: 1, modified: 0, scanned: false });
        }
        pages.changed.insert(key);
    }

    /// Takes over what a whole scan counted, and gives the whole inventory.
    pub(super) fn replace(&self, counts: &[SourceCount]) -> Inventory {
        let mut pages = self.pages();
        let old = std::mem::take(&mut pages.sources);
        pages.sources = counts
            .iter()
            .take(INVENTORY_SOURCES_MAX)
            .map(|SourceCount { source, files, modified }| {
                let key = key(source);
                let executed = old.get(&key).map_or(0, |old| old.executed);
                (key, InventorySource { source: source.clone(), files: *files, executed, modified: *modified, scanned: true })
            })
            .collect();
        pages.changed.clear();
        Inventory { sources: pages.sources.values().cloned().collect(), complete: true }
    }

    /// What executions changed since the last time; `None` when nothing did.
    pub(super) fn changes(&self) -> Option<Inventory> {
        let mut pages = self.pages();
        let changed = std::mem::take(&mut pages.changed);
        let sources: Vec<_> = changed.iter().filter_map(|key| pages.sources.get(key)).cloned().collect();
        (!sources.is_empty()).then_some(Inventory { sources, complete: false })
    }

    /// Puts the book on disk. Blocks.
    pub(super) fn keep(&self) -> io::Result<()> {
        let kept = {
            let pages = self.pages();
            Kept { sources: pages.sources.values().cloned().collect(), executed: pages.executed.iter().copied().collect() }
        };
        let bytes = postcard::to_allocvec(&kept).map_err(io::Error::other)?;
        durable::replace(&self.path, &bytes, FILE_MODE)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Pages> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    let kept: Kept = postcard::from_bytes(&bytes).map_err(io::Error::other)?;
    Ok(Pages {
        sources: kept.sources.into_iter().map(|counts| (key(&counts.source), counts)).collect(),
        executed: kept.executed.into_iter().take(EXECUTED_FILES_MAX).collect(),
        changed: BTreeSet::new(),
    })
}

fn key(source: &Source) -> Key {
    match source {
        Source::Package(package) => Key::Package(package.manager, package.name.clone()),
        Source::Publisher(publisher) => Key::Publisher(publisher.fingerprint),
    }
}

/// Enough of a digest to tell the executed files of one host apart; a collision costs a count.
fn short(file: &Sha256) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *file.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use doorward_policy::{Fit, Level, PackageEvidence, PublisherEvidence, Signing};

    use super::*;

    fn package(name: &str, version: &str) -> Source {
        Source::Package(PackageEvidence {
            manager: PackageManager::Dpkg,
            name: name.into(),
            version: version.into(),
            origin: String::new(),
            level: Level::Database,
            fit: Fit::Match,
        })
    }

    fn publisher(name: &str) -> Source {
        Source::Publisher(PublisherEvidence {
            signing: Signing::Jar,
            name: name.into(),
            fingerprint: file(9),
            valid: true,
            chain_trusted: true,
            public_authority: false,
            flaw: None,
            signed_at: None,
            validity: None,
            chain: Vec::new(),
        })
    }

    fn counted(name: &str, files: u64) -> SourceCount {
        SourceCount { source: package(name, "1"), files, modified: 0 }
    }

    fn file(number: u8) -> Sha256 {
        Sha256::new([number; 32])
    }

    #[test]
    fn a_file_executed_often_counts_once_and_a_restart_forgets_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory");
        let book = Book::open(path.clone());
        book.replace(&[counted("coreutils", 100), counted("bash", 2)]);
        for number in [1, 2, 1, 1] {
            book.note_execution(package("coreutils", "1"), file(number));
        }
        let changes = book.changes().unwrap();
        assert!(!changes.complete);
        assert_eq!(changes.sources.iter().map(|source| (source.files, source.executed)).collect::<Vec<_>>(), [(100, 2)]);
        assert_eq!(book.changes(), None);
        book.keep().unwrap();
        let book = Book::open(path);
        book.note_execution(package("coreutils", "1"), file(2));
        assert_eq!(book.changes(), None, "counted before the restart");
        book.note_execution(package("coreutils", "1"), file(3));
        assert_eq!(book.changes().unwrap().sources[0].executed, 3);
    }

    #[test]
    fn a_whole_scan_replaces_files_and_keeps_executions() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path().join("inventory"));
        book.note_execution(package("dash", "1"), file(1));
        let inventory = book.replace(&[counted("dash", 3), counted("bash", 2)]);
        assert!(inventory.complete);
        let counts: Vec<_> = inventory.sources.iter().map(|source| (source.files, source.executed)).collect();
        assert_eq!(counts, [(2, 0), (3, 1)]);
        let without_dash = book.replace(&[counted("bash", 2)]);
        assert_eq!(without_dash.sources.len(), 1, "what a whole scan did not meet is gone");
    }

    #[test]
    fn publishers_are_counted_as_packages_are_and_what_no_scan_counted_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path().join("inventory"));
        for number in [1, 2] {
            book.note_execution(publisher("ACME"), file(number));
        }
        let changes = book.changes().unwrap().sources;
        assert_eq!((changes[0].files, changes[0].executed, changes[0].scanned), (2, 2, false));
        let counts = [counted("bash", 2), SourceCount { source: publisher("ACME"), files: 7, modified: 0 }];
        let inventory = book.replace(&counts);
        let counts: Vec<_> = inventory.sources.iter().map(|source| (source.files, source.executed, source.scanned)).collect();
        assert_eq!(counts, [(2, 0, true), (7, 2, true)]);
    }

    #[test]
    fn a_damaged_book_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory");
        fs::write(&path, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").unwrap();
        let book = Book::open(path);
        assert_eq!(book.changes(), None);
        book.keep().unwrap();
    }
}
