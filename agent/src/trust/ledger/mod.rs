//! What the agent itself saw in signed archives: which content a package of a repository brings to which path. Evidence from here is
//! of level [`Signed`](Level::Signed); whoever is root can edit dpkg's database and gains nothing by it.
//!
//! The ledger is a list of archives, each with the whole chain from the repository's key to its own digest, and a sorted list of rows,
//! 52 bytes a file (`row`). Both lie in one file that is only ever replaced whole (`generation`), and in memory. Only files that can be
//! executed or loaded have rows.

mod generation;
mod row;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use doorward_policy::{Fit, KeyFingerprint, Level, PackageEvidence, PackageManager, Sha256};
use serde::{Deserialize, Serialize};

pub use generation::LedgerProblem;
use row::{Row, RowPath};

/// Archives remembered; a host has some thousand packages.
const ARCHIVES_MAX: usize = 32_768;

/// Rows remembered; some 52 MB at most.
const ROWS_MAX: usize = 1 << 20;

/// How long an archive that is not installed is remembered, in microseconds: it may be about to be.
const UNUSED_MICROS: i64 = 24 * 3600 * 1_000_000;

/// The file's name in its folder.
const FILE: &str = "ledger";

/// Where dpkg and debconf keep the scripts of packages; by content alone, since names and folders change while they work.
const SCRIPT_FOLDERS: [&[u8]; 4] = [b"var/lib/dpkg/info/", b"var/lib/dpkg/tmp.ci/", b"var/cache/debconf/", b"var/lib/dpkg/triggers/"];

/// An archive and why it is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// The package, with its architecture behind it where dpkg writes it so.
    pub package: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub architecture: String,
    /// Of the archive itself.
    pub sha256: Sha256,
    /// The index that lists the digest, by its path below the suite.
    pub index: String,
    /// The Release file that lists the index, as apt names it.
    pub release: String,
    /// The suite by its own word.
    pub suite: String,
    /// When the Release file was made, in seconds since 1970, UTC.
    pub released_at: i64,
    /// The primary key that signed it.
    pub key: KeyFingerprint,
    /// The key's owner by its own word.
    pub key_name: String,
    /// When the agent read the archive, in microseconds since 1970, UTC.
    pub witnessed_at: i64,
    /// On which occasion.
    pub occasion: Occasion,
}

/// On which occasion an archive was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// apt was about to unpack it.
    Transaction,
    /// Somebody had it fetched again.
    Fetched,
}

/// What is known at one moment; immutable.
#[derive(Debug, Default)]
struct Known {
    archives: Vec<Archive>,
    /// Ascending.
    rows: Vec<Row>,
    /// Places of rows, by path.
    by_path: Vec<u32>,
    /// apt has told of a transaction once: from then on it is expected to.
    is_told: bool,
}

/// The ledger of one host. Looking takes no lock.
#[derive(Debug)]
pub struct Ledger {
    known: ArcSwap<Known>,
    generation: AtomicU64,
    /// Held while something is added. True while what is in memory is not on disk.
    is_dirty: Mutex<bool>,
    /// `None` when nothing is kept.
    file: Option<PathBuf>,
}

/// How much the ledger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LedgerGauges {
    /// Archives.
    pub archives: u64,
    /// Files and scripts.
    pub files: u64,
    /// apt tells of its transactions.
    pub transactions: bool,
}

impl Ledger {
    /// One that is empty and keeps nothing.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { known: ArcSwap::default(), generation: AtomicU64::new(0), is_dirty: Mutex::new(false), file: None }
    }

    /// Opens the ledger in `folder`. A damaged one is as good as none: what it vouched for is of the lower level until it is read again.
    #[must_use]
    pub fn open(folder: &Path) -> (Self, Option<LedgerProblem>) {
        let file = folder.join(FILE);
        let (known, problem) = match generation::read(&file) {
            Ok(known) => (known.unwrap_or_default(), None),
            Err(problem) => (Known::default(), Some(problem)),
        };
        let known = ArcSwap::from_pointee(known);
        (Self { known, generation: AtomicU64::new(0), is_dirty: Mutex::new(false), file: Some(file) }, problem)
    }

    /// Rises after every change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How much there is.
    #[must_use]
    pub fn gauges(&self) -> LedgerGauges {
        let known = self.known.load();
        LedgerGauges { archives: known.archives.len() as u64, files: known.rows.len() as u64, transactions: known.is_told }
    }

    /// Whether apt has ever told of a transaction here.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.known.load().is_told
    }

    /// Whether an archive of this package and version was read, signed by a key that counts.
    #[must_use]
    pub fn holds_package(&self, package: &str, version: &str, keys: &[KeyFingerprint]) -> bool {
        self.known.load().archives.iter().any(|archive| archive.package == package && archive.version == version && counts(archive, keys))
    }

    /// The archive of this digest, when it was read.
    #[must_use]
    pub fn holds_archive(&self, sha256: &Sha256) -> bool {
        self.known.load().archives.iter().any(|archive| archive.sha256 == *sha256)
    }

    /// What is known of this content at this path (relative to the root, where the file really lies), next to what the package database
    /// says of it. `keys` are those that count; all when there are none.
    #[must_use]
    pub fn evidence(
        &self,
        path: &[u8],
        file: &Sha256,
        database: Option<PackageEvidence>,
        keys: &[KeyFingerprint],
    ) -> Option<PackageEvidence> {
        let known = self.known.load();
        if known.rows.is_empty() {
            return database;
        }
        if let Some(archive) = known.source(path, file, database.as_ref(), keys) {
            return Some(PackageEvidence {
                manager: PackageManager::Dpkg,
                name: archive.package.clone(),
                version: archive.version.clone(),
                origin: database.map(|database| database.origin).unwrap_or_default(),
                level: Level::Signed,
                fit: Fit::Match,
            });
        }
        let mut database = database?;
        if database.fit == Fit::Match && known.contradicts(path, &database, keys) {
            // SECURITY: the database was edited to agree with a file that is not the archive's.
            database.level = Level::Signed;
            database.fit = Fit::Modified;
        }
        Some(database)
    }

    /// The archive that brought this content to this path, whatever the key.
    #[must_use]
    pub fn archive_of(&self, path: &[u8], file: &Sha256, database: Option<&PackageEvidence>) -> Option<Archive> {
        self.known.load().source(path, file, database, &[]).cloned()
    }

    /// What archives of this package and version bring to this path instead.
    #[must_use]
    pub fn expected(&self, path: &[u8], package: &str, version: &str) -> Option<Sha256> {
        let known = self.known.load();
        known.at(path).find(|(archive, _)| archive.package == package && archive.version == version).map(|(_, row)| row::file(row))
    }

    /// Takes in an archive with its files: paths as they really lie on this host. Nothing of it counts before this returns.
    /// False when there is no room.
    pub fn add(&self, archive: Archive, files: &[(Vec<u8>, Sha256)], scripts: &[Sha256]) -> bool {
        let mut is_dirty = self.is_dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load();
        let is_known = known.archives.iter().any(|other| other.sha256 == archive.sha256);
        if known.archives.len() >= ARCHIVES_MAX || known.rows.len() + files.len() + scripts.len() > ROWS_MAX {
            return false;
        }
        let mut archives = known.archives.clone();
        let mut rows = known.rows.clone();
        if is_known {
            archives.retain(|other| other.sha256 != archive.sha256);
            rows = renumbered(&known, |other| other.sha256 != archive.sha256);
        }
        let at = archives.len() as u32;
        archives.push(archive);
        rows.extend(files.iter().map(|(path, file)| row::new(file, &RowPath::of(path), at)));
        rows.extend(scripts.iter().map(|file| row::new(file, &RowPath::script(), at)));
        self.replace(Known::new(archives, rows, known.is_told));
        *is_dirty = true;
        true
    }

    /// Notes that apt tells of its transactions.
    pub fn note_told(&self) {
        let mut is_dirty = self.is_dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load();
        if !known.is_told {
            self.replace(Known::new(known.archives.clone(), known.rows.clone(), true));
            *is_dirty = true;
        }
    }

    /// Forgets archives that are neither installed nor young.
    pub fn forget_unused(&self, now_micros: i64, is_installed: impl Fn(&str, &str) -> bool) {
        let mut is_dirty = self.is_dirty.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load();
        let is_used = |archive: &Archive| {
            is_installed(&archive.package, &archive.version) || now_micros.saturating_sub(archive.witnessed_at) < UNUSED_MICROS
        };
        if known.archives.iter().all(is_used) {
            return;
        }
        let rows = renumbered(&known, is_used);
        let archives = known.archives.iter().filter(|archive| is_used(archive)).cloned().collect();
        self.replace(Known::new(archives, rows, known.is_told));
        *is_dirty = true;
    }

    /// Puts on disk what is only in memory.
    ///
    /// # Errors
    /// Whatever the file system says; what is in memory counts all the same.
    pub fn keep(&self) -> io::Result<()> {
        let mut is_dirty = self.is_dirty.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = self.file.as_ref().filter(|_| *is_dirty) {
            generation::write(file, &self.known.load())?;
            *is_dirty = false;
        }
        Ok(())
    }

    fn replace(&self, known: Known) {
        self.known.store(Arc::new(known));
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Known {
    fn new(archives: Vec<Archive>, mut rows: Vec<Row>, is_told: bool) -> Self {
        rows.sort_unstable();
        rows.dedup();
        rows.shrink_to_fit();
        let mut by_path: Vec<u32> = (0..rows.len() as u32).collect();
        by_path.sort_unstable_by_key(|at| row::path(&rows[*at as usize]));
        Self { archives, rows, by_path, is_told }
    }

    /// The archive that brought this content here, or elsewhere when the database says that it was diverted.
    fn source(&self, path: &[u8], file: &Sha256, database: Option<&PackageEvidence>, keys: &[KeyFingerprint]) -> Option<&Archive> {
        let wanted = if SCRIPT_FOLDERS.iter().any(|folder| path.starts_with(folder)) { RowPath::script() } else { RowPath::of(path) };
        let diverted = |archive: &Archive| database.is_some_and(|database| database.fit == Fit::Match && is_of(database, archive));
        let start = self.rows.partition_point(|row| row::file(row) < *file);
        self.rows[start..]
            .iter()
            .take_while(|row| row::file(row) == *file)
            .filter_map(|row| Some((self.archives.get(row::archive(row))?, row)))
            .filter(|(archive, _)| counts(archive, keys))
            .find(|(archive, row)| row::path(row) == wanted || diverted(archive))
            .map(|(archive, _)| archive)
    }

    /// What archives bring to a path.
    fn at(&self, path: &[u8]) -> impl Iterator<Item = (&Archive, &Row)> {
        let wanted = RowPath::of(path);
        let start = self.by_path.partition_point(|at| row::path(&self.rows[*at as usize]) < wanted);
        let rows = self.by_path[start..].iter().map(|at| &self.rows[*at as usize]).take_while(move |row| row::path(row) == wanted);
        rows.filter_map(|row| Some((self.archives.get(row::archive(row))?, row)))
    }

    /// Whether the very archive that the database says is installed brings something else here.
    fn contradicts(&self, path: &[u8], database: &PackageEvidence, keys: &[KeyFingerprint]) -> bool {
        self.at(path).any(|(archive, _)| is_of(database, archive) && counts(archive, keys))
    }
}

/// Whether the database, which is dpkg's and no other, says that this archive is installed.
fn is_of(database: &PackageEvidence, archive: &Archive) -> bool {
    database.manager == PackageManager::Dpkg && database.name == archive.package && database.version == archive.version
}

/// Whether the archive's key counts.
fn counts(archive: &Archive, keys: &[KeyFingerprint]) -> bool {
    keys.is_empty() || keys.contains(&archive.key)
}

/// The rows of the archives that stay, with the numbers they have without the others.
fn renumbered(known: &Known, stays: impl Fn(&Archive) -> bool) -> Vec<Row> {
    let mut next = 0u32;
    let numbers: Vec<Option<u32>> = known
        .archives
        .iter()
        .map(|archive| {
            stays(archive).then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    let renumber = |row: &Row| numbers.get(row::archive(row)).copied().flatten().map(|at| row::new(&row::file(row), &row::path(row), at));
    known.rows.iter().filter_map(renumber).collect()
}
