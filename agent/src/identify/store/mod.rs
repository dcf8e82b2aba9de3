//! What was learnt of files by reading them, kept so that an unchanged one costs a stat and no read.
//!
//! Two kinds of memory: for candidates a row with kind and digests (`row`); for everything else eight bytes, a keyed
//! fingerprint of the identity (`fingerprint`). Both live in a sorted file that is only ever replaced whole
//! (`generation`) and in an append-only overlay of what was learnt since (`overlay`). The rule for when an identity may be
//! remembered stands in the header of `identify`.
//!
//! # Why eight bytes are enough for "no candidate"
//! A fingerprint lets nothing run and blesses nothing: it only spares a second look at an identity that was looked at
//! once. To hide a changed file behind it, the changed file's identity would have to meet one of the stored values. Their
//! key is random, made on this host and readable by root alone, so nobody can aim; by chance it happens once in 2^64 / n
//! tries, for 500,000 files once in 37 million million looks. Executions are judged by what they read, not by these.
//!
//! Nothing here is needed for correctness: whatever is damaged, foreign, torn or held by another process is told as a
//! [`StoreProblem`] and done without.

mod fingerprint;
mod generation;
mod memo;
mod overlay;
mod pass;
mod problem;
mod recent;
mod row;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use doorward_policy::DigestAlgorithm;

use self::generation::Generation;
use self::overlay::Overlay;
use self::recent::Recent;
use super::{Identified, Identity, Inode};
use crate::system::lock::{InstanceLock, LockError};

pub use memo::Memo;
pub use pass::{Known, Pass};
pub use problem::StoreProblem;

/// Rows a store holds at most (136 bytes each, in memory and on disk); candidates beyond are read at every scan.
pub const ROWS_MAX: usize = 1_000_000;

/// Fingerprints a store holds at most (8 bytes each); files beyond are looked at in every scan.
pub const FINGERPRINTS_MAX: usize = 8_000_000;

/// Secret of one store; an identity's fingerprint in another store is another one.
pub(crate) type FingerprintKey = [u8; 32];

const GENERATION_FILE: &str = "generation";
const OVERLAY_FILE: &str = "overlay";
const LOCK_FILE: &str = "lock";

/// Numbers for status and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreGauges {
    /// Candidates remembered.
    pub candidates: usize,
    /// Other files remembered.
    pub others: usize,
    /// Overlay's length in bytes; 0 when nothing is kept on disk.
    pub overlay_bytes: u64,
}

/// The memory of one host. Lookups take no lock for what the generation holds.
#[derive(Debug)]
pub struct IdentityStore {
    key: FingerprintKey,
    generation: ArcSwap<Generation>,
    recent: Mutex<Recent>,
    /// Held while a generation is made: all of them grow in one file.
    writing: Mutex<()>,
    /// `None` when nothing is kept: in memory only, or somebody else holds the folder.
    folder: Option<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: InstanceLock,
}

impl IdentityStore {
    /// Opens the store in `folder`, made with mode 0700 when it is missing. `entropy` fills the key of a new store.
    ///
    /// # Errors
    /// Only when the folder cannot be made or entered; what is wrong inside comes as problems, to be counted and logged.
    pub fn open(folder: &Path, entropy: impl FnOnce(&mut [u8])) -> io::Result<(Self, Vec<StoreProblem>)> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::read_dir(folder)?;
        let mut problems = Vec::new();
        let lock = match InstanceLock::take(&folder.join(LOCK_FILE)) {
            Ok(lock) => Some(lock),
            Err(LockError::Held) => none_with(&mut problems, StoreProblem::Held),
            Err(LockError::Io(error)) => none_with(&mut problems, StoreProblem::NotWritable(error.to_string())),
        };
        let on_disk = generation::read(&folder.join(GENERATION_FILE)).unwrap_or_else(|problem| none_with(&mut problems, problem));
        let overlay_path = folder.join(OVERLAY_FILE);
        let replayed = overlay::replay(&overlay_path).unwrap_or_else(|problem| none_with(&mut problems, problem));
        let key = match (&on_disk, &replayed) {
            (Some((key, _)), _) => *key,
            (None, Some(replayed)) => replayed.key,
            (None, None) => {
                let mut key = FingerprintKey::default();
                entropy(&mut key);
                key
            }
        };
        let replayed = match replayed {
            Some(replayed) if replayed.key != key => none_with(&mut problems, StoreProblem::StrangeOverlay),
            other => other,
        };
        let is_written = on_disk.is_some();
        let mut generation = on_disk.map(|(_, generation)| generation).unwrap_or_default();
        let overlay = lock.is_some().then(|| match &replayed {
            Some(replayed) => Overlay::resume(&overlay_path, replayed),
            None => Overlay::create(&overlay_path, &key),
        });
        if let Some(replayed) = replayed {
            if replayed.torn_bytes > 0 {
                problems.push(StoreProblem::Torn(replayed.torn_bytes));
            }
            generation.absorb(replayed.learnt);
        }
        let overlay = overlay.transpose().unwrap_or_else(|error| none_with(&mut problems, StoreProblem::NotWritable(error.to_string())));
        let store = Self {
            key,
            generation: ArcSwap::from_pointee(generation),
            recent: Mutex::new(Recent::new(overlay, is_written)),
            writing: Mutex::default(),
            folder: lock.map(|lock| Folder { path: folder.to_owned(), _lock: lock }),
        };
        Ok((store, problems))
    }

    /// A store that forgets everything when the process ends.
    #[must_use]
    pub fn in_memory(entropy: impl FnOnce(&mut [u8])) -> Self {
        let mut key = FingerprintKey::default();
        entropy(&mut key);
        let recent = Mutex::new(Recent::new(None, false));
        Self { key, generation: ArcSwap::default(), recent, writing: Mutex::default(), folder: None }
    }

    /// What is remembered of a candidate; `None` as well when a digest is wanted that was not taken then.
    #[must_use]
    pub fn candidate(&self, inode: &Inode, wanted: Option<DigestAlgorithm>) -> Option<Identified> {
        let generation = self.generation.load();
        let row = match row::find(&generation.rows, &inode.identity) {
            Some((at, true)) => generation.rows[at],
            _ => self.recent().row(&inode.identity)?,
        };
        identified(&row, inode, wanted)
    }

    /// Begins a pass over files, in which what is met is marked; see [`Self::checkpoint`].
    #[must_use]
    pub fn pass(&self) -> Pass<'_> {
        Pass::new(self, self.generation.load_full())
    }

    /// Files the last whole scan met, when there was one.
    #[must_use]
    pub fn files_expected(&self) -> Option<u64> {
        Some(self.generation.load().files).filter(|files| *files > 0)
    }

    /// Takes in what a memo holds and empties it. What could not be kept on disk is kept for this run.
    pub fn remember(&self, memo: &mut Memo) {
        let generation = self.generation.load();
        let mut recent = self.recent();
        if let Err(error) = recent.take(memo, generation.rows.len(), generation.fingerprints.len()) {
            tracing::warn!(%error, "the identity store's overlay cannot be written; a scan killed from now on starts over");
        }
    }

    /// Writes a new generation where that is worth it. After a pass over *all* files (`whole`, with their number) whatever
    /// the pass did not meet is dropped.
    ///
    /// # Errors
    /// Whatever the file system says; nothing is lost from memory or from what was on disk.
    pub fn checkpoint(&self, whole: Option<(&Pass<'_>, u64)>) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.generation.load_full();
        // A pass over a generation that was replaced meanwhile cannot tell what is gone.
        let whole = whole.filter(|(pass, _)| pass.is_over(&old));
        let gone = whole.map_or(0, |(pass, _)| pass.unmet());
        let Some(mut learnt) = self.recent().take_if_worth_writing(gone, old.rows.len() + old.fingerprints.len()) else { return Ok(()) };
        learnt.sort();
        let pass = whole.map(|(pass, _)| pass);
        let rows = old.rows.iter().enumerate().filter(|(at, _)| pass.is_none_or(|pass| pass.met_row(*at))).map(|(_, row)| row);
        let rows = generation::merge(rows, learnt.rows.iter(), |one, other| generation::by_inode(one, other));
        let kept = old.fingerprints.iter().enumerate().filter(|(at, _)| pass.is_none_or(|pass| pass.met_fingerprint(*at)));
        let fingerprints = generation::merge(kept.map(|(_, print)| *print), learnt.fingerprints.iter().copied(), u64::cmp);
        let files = whole.map_or(old.files, |(_, files)| files);
        let Some(folder) = &self.folder else {
            let merged = Generation { rows: rows.copied().collect(), fingerprints: fingerprints.collect(), files };
            self.generation.store(Arc::new(merged));
            return Ok(());
        };
        let path = folder.path.join(GENERATION_FILE);
        if let Err(error) = generation::write(&path, &self.key, files, rows, fingerprints) {
            self.recent().put_back(learnt);
            return Err(error);
        }
        drop((learnt, old));
        self.replace_generation(&path)
    }

    /// Goes over to the generation just written, as it stands on disk.
    fn replace_generation(&self, path: &Path) -> io::Result<()> {
        // Dropped before the new one is read, so that memory holds one of them at a time.
        self.generation.store(Arc::default());
        let written = generation::read(path).map_err(io::Error::other)?.map(|(_, generation)| generation);
        self.generation.store(Arc::new(written.unwrap_or_default()));
        self.recent().begin_overlay(&self.key)
    }

    /// Numbers for status and health.
    #[must_use]
    pub fn gauges(&self) -> StoreGauges {
        let (generation, recent) = (self.generation.load(), self.recent());
        StoreGauges {
            candidates: generation.rows.len() + recent.rows(),
            others: generation.fingerprints.len() + recent.fingerprints(),
            overlay_bytes: recent.overlay_bytes(),
        }
    }

    /// A poisoned lock guards a memory whose every entry stands for itself, so it is used all the same.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn none_with<T>(problems: &mut Vec<StoreProblem>, problem: StoreProblem) -> Option<T> {
    problems.push(problem);
    None
}

fn identified(row: &row::Row, inode: &Inode, wanted: Option<DigestAlgorithm>) -> Option<Identified> {
    let (kind, digests) = row::decode(row)?;
    digests.suffice(wanted).then_some(Identified { identity: inode.identity, kind, digests, attributes: inode.attributes })
}

/// The first bytes of a row of this identity, for maps.
fn inode_key(identity: &Identity) -> [u8; row::INODE_BYTES] {
    let key = identity.key();
    std::array::from_fn(|at| key[at])
}
