//! The store's folder: what lies where in it, and moving whole stores in and out of place.
//!
//! `store/` is sled's, `generation` the note beside it, `lock` keeps a second agent away. `store.compact` and `store.old` are steps
//! of a compaction, `store.corrupt-<seconds>` what was put aside.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::limit::QUARANTINE_MAX;
use crate::system::durable;

/// How often a name for a quarantined store is tried before giving up.
const NAMES_MAX: u32 = 100;

const QUARANTINE_PREFIX: &str = "store.corrupt-";

#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Makes the folder if it is missing, for its owner alone.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    pub(super) fn generation(&self) -> PathBuf {
        self.path.join("generation")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Where a compacted copy grows, or a new store.
    pub(super) fn compacted(&self) -> PathBuf {
        self.path.join("store.compact")
    }

    fn old(&self) -> PathBuf {
        self.path.join("store.old")
    }

    /// Clears away what a crash left of a compaction; the store itself is then the old one or the new one, whole.
    pub(super) fn settle(&self) -> io::Result<()> {
        remove_all(&self.compacted())?;
        if exists(&self.store())? {
            remove_all(&self.old())
        } else if exists(&self.old())? {
            fs::rename(self.old(), self.store())?;
            durable::sync_folder(&self.store())
        } else {
            Ok(())
        }
    }

    /// Puts the compacted copy in the store's place.
    pub(super) fn adopt_compacted(&self) -> io::Result<()> {
        fs::rename(self.store(), self.old())?;
        fs::rename(self.compacted(), self.store())?;
        durable::sync_folder(&self.store())?;
        remove_all(&self.old())
    }

    /// Puts a new store in the place of one that was put aside.
    pub(super) fn adopt_new(&self) -> io::Result<()> {
        fs::rename(self.compacted(), self.store())?;
        durable::sync_folder(&self.store())
    }

    /// Puts the store aside for inspection and forgets the oldest of those already there.
    pub(super) fn quarantine(&self, now: i64) -> io::Result<PathBuf> {
        let seconds = now.div_euclid(1_000_000);
        let mut to = self.path.join(format!("{QUARANTINE_PREFIX}{seconds}"));
        for number in 1..NAMES_MAX {
            if !exists(&to)? {
                break;
            }
            to = self.path.join(format!("{QUARANTINE_PREFIX}{seconds}-{number}"));
        }
        fs::rename(self.store(), &to)?;
        durable::sync_folder(&to)?;
        self.thin_quarantine(&to)?;
        Ok(to)
    }

    fn thin_quarantine(&self, newest: &Path) -> io::Result<()> {
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(QUARANTINE_PREFIX.as_bytes()) && entry.path() != newest {
                others.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        others.sort();
        let surplus = (others.len() + 1).saturating_sub(QUARANTINE_MAX);
        others.iter().take(surplus).try_for_each(|(_, path)| remove_all(path))
    }

    /// Bytes that a writer without privileges could still use here.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let usage = statvfs(&self.path)?;
        Ok(usage.blocks_available().saturating_mul(usage.fragment_size()))
    }
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compaction_cut_at_any_step_leaves_one_whole_store() {
        let make = |folder: &Folder, stores: &[(PathBuf, &str)]| {
            for (path, content) in stores {
                fs::create_dir_all(path).unwrap();
                fs::write(path.join("db"), content).unwrap();
            }
            folder.settle().unwrap();
            fs::read_to_string(folder.store().join("db")).unwrap()
        };
        for (old, store, compact, expected) in
            [(None, Some("old"), Some("half"), "old"), (Some("old"), None, Some("new"), "old"), (Some("old"), Some("new"), None, "new")]
        {
            let temporary = tempfile::tempdir().unwrap();
            let folder = Folder::at(temporary.path());
            let places = [(folder.old(), old), (folder.store(), store), (folder.compacted(), compact)];
            let present: Vec<_> = places.into_iter().filter_map(|(path, content)| Some((path, content?))).collect();
            assert_eq!(make(&folder, &present), expected);
            assert!(!folder.old().exists() && !folder.compacted().exists());
        }
    }

    #[test]
    fn quarantine_keeps_only_the_newest_few() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::at(temporary.path());
        let mut last = PathBuf::new();
        for round in 0..5 {
            fs::create_dir(folder.store()).unwrap();
            last = folder.quarantine(1_000_000 * (round / 2)).unwrap();
        }
        assert!(last.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), QUARANTINE_MAX);
    }
}
