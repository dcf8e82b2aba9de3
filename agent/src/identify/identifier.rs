//! From an open file to what it is: the store is asked first, then one read settles it, then the store is told.

use std::fs::File;
use std::sync::Arc;

use doorward_policy::{DigestAlgorithm, FileKind};
use doorward_service::clock::Clock;
use nix::sys::stat::{FileStat, SFlag, fstat};

use super::digest;
use super::store::{IdentityStore, Memo};
use super::{Attributes, FilesystemId, Filesystems, Identified, Identity, NameClaim, Reader, SkipReason};
use crate::system::lease;

/// Reads of one file that changes under our hands before it is skipped.
const READ_ATTEMPTS_MAX: u32 = 3;

/// Default of [`Limits::digest_bytes_max`].
const DIGEST_BYTES_MAX: u64 = 8 << 30;

/// Bounds of what one file may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Larger candidates are not digested but skipped as [`SkipReason::TooLarge`]. Anyone can make a file of 16 TB that
    /// takes no space on disk and hours to digest; without a digest it is named by no list and vouched for by no package,
    /// so it stays unresolved whatever it is called.
    pub digest_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { digest_bytes_max: DIGEST_BYTES_MAX }
    }
}

/// A regular file's inode at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Inode {
    /// What rows are kept under.
    pub identity: Identity,
    /// For reports.
    pub attributes: Attributes,
    /// Of 512 bytes; fewer than the size needs when there are holes.
    blocks: u64,
}

impl Inode {
    /// Takes a `stat` apart.
    ///
    /// # Errors
    /// [`SkipReason::NotRegular`].
    pub fn of(filesystem: FilesystemId, stat: &FileStat) -> Result<Self, SkipReason> {
        if SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFREG {
            return Err(SkipReason::NotRegular);
        }
        let (identity, attributes) = (Identity::of(filesystem, stat), Attributes::of(stat));
        Ok(Self { identity, attributes, blocks: stat.st_blocks.cast_unsigned() })
    }

    /// One that is on no disk.
    #[cfg(test)]
    pub(crate) const fn plain(identity: Identity, attributes: Attributes) -> Self {
        Self { identity, attributes, blocks: u64::MAX }
    }
}

/// What one look at a file's content gave.
#[derive(Debug, Clone)]
pub struct Examined {
    /// `None` when it is no candidate.
    pub candidate: Option<Identified>,
    /// The identity under which that may be remembered, when it may.
    pub lasting: Option<Identity>,
}

/// Identifies files for executions and scans alike.
#[derive(Debug)]
pub struct Identifier {
    store: Arc<IdentityStore>,
    filesystems: Filesystems,
    clock: Clock,
    limits: Limits,
}

impl Identifier {
    /// Starts with nothing known but what the store holds.
    #[must_use]
    pub fn new(store: Arc<IdentityStore>, clock: Clock, limits: Limits) -> Self {
        Self { store, filesystems: Filesystems::default(), clock, limits }
    }

    /// Where identities are remembered.
    #[must_use]
    pub const fn store(&self) -> &Arc<IdentityStore> {
        &self.store
    }

    /// Names of file systems met.
    #[must_use]
    pub const fn filesystems(&self) -> &Filesystems {
        &self.filesystems
    }

    /// Identifies the file behind an open descriptor, whose position is left alone; `Ok(None)` when it is no candidate.
    /// `name` is the last component of its path, as far as there is one. The digests include the one that is `wanted` (see
    /// `PackageTrust::wanted_digest`). `stop` is asked every few hundred microseconds while reading.
    ///
    /// # Errors
    /// The reason why it cannot be told. It is then neither a candidate nor cleared.
    pub fn file(
        &self,
        file: &File,
        name: &[u8],
        wanted: Option<DigestAlgorithm>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Identified>, SkipReason> {
        self.file_as(file, NameClaim::of(name), wanted, stop)
    }

    /// As [`Self::file`], with what is claimed of the file by something else than its name.
    ///
    /// # Errors
    /// As for [`Self::file`].
    pub fn file_as(
        &self,
        file: &File,
        claim: NameClaim,
        wanted: Option<DigestAlgorithm>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Identified>, SkipReason> {
        let stat = fstat(file)?;
        let inode = Inode::of(self.filesystems.id(stat.st_dev, file)?, &stat)?;
        if let Some(known) = self.store.candidate(&inode, wanted) {
            return Ok(Some(known));
        }
        let examined = self.examine(&mut Reader::default(), file, claim, |_| wanted, stop)?;
        let mut memo = Memo::default();
        memo.keep(&self.store, &examined, claim);
        self.store.remember(&mut memo);
        Ok(examined.candidate)
    }

    /// Looks at the content, whatever the store knows, and remembers nothing. `wanted` is asked for candidates only.
    ///
    /// # Errors
    /// As for [`Self::file`].
    pub fn examine(
        &self,
        reader: &mut Reader,
        file: &File,
        claim: NameClaim,
        wanted: impl Fn(&Inode) -> Option<DigestAlgorithm>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Examined, SkipReason> {
        let is_remembered = self.filesystems.of(fstat(file)?.st_dev, file)?.is_remembered;
        let mut before = self.inode(file)?;
        for _ in 0..READ_ATTEMPTS_MAX {
            // SECURITY: both before the first byte is read; see the folder's header.
            let may_last =
                is_remembered && before.identity.is_settled(self.clock.now_micros()) && lease::has_no_writer(file).unwrap_or(false);
            let kind = if before.identity.size == 0 { None } else { reader.kind(file, claim)? };
            let candidate = match kind {
                None => Ok(None),
                Some(_) if before.identity.size > self.limits.digest_bytes_max => Err(SkipReason::TooLarge),
                Some(kind) => reader
                    .digest(file, before.identity.size, before.blocks, wanted(&before), stop)
                    .map(|digests| Some(Identified { identity: before.identity, kind, digests, attributes: before.attributes })),
            };
            let after = self.inode(file)?;
            if after.identity == before.identity && !matches!(candidate, Err(SkipReason::ChangedWhileRead)) {
                return candidate.map(|candidate| Examined { candidate, lasting: may_last.then_some(before.identity) });
            }
            before = after;
        }
        Err(SkipReason::ChangedWhileRead)
    }

    /// What the beginning of a file says that it is, and the identity under which that may be remembered; digests nothing.
    ///
    /// # Errors
    /// The file's own.
    pub fn kind(&self, file: &File) -> Result<(Option<FileKind>, Option<Identity>), SkipReason> {
        let is_remembered = self.filesystems.of(fstat(file)?.st_dev, file)?.is_remembered;
        let before = self.inode(file)?;
        // SECURITY: both before the first byte is read; see the folder's header.
        let may_last = is_remembered && before.identity.is_settled(self.clock.now_micros()) && lease::has_no_writer(file).unwrap_or(false);
        let kind = match self.store.candidate(&before, None) {
            // A text is known as a script once somebody ran it; whether it begins like one is another question.
            Some(known) if known.kind != FileKind::Script => Some(known.kind),
            _ => digest::kind(file, NameClaim::None)?,
        };
        let is_same = self.inode(file)?.identity == before.identity;
        Ok((kind, (may_last && is_same).then_some(before.identity)))
    }

    fn inode(&self, file: &File) -> Result<Inode, SkipReason> {
        let stat = fstat(file)?;
        Inode::of(self.filesystems.id(stat.st_dev, file)?, &stat)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use doorward_policy::{FileKind, Sha256};
    use sha2::Digest as _;
    use tempfile::TempDir;

    use super::*;
    use crate::identify::open_at;

    const SCRIPT: &[u8] = b"#!/bin/sh\nexit 0\n";

    /// Some day after every file of a test was made.
    const LATER_MICROS: i64 = 4_000_000_000_000_000;

    fn identifier(limits: Limits) -> Identifier {
        let store = IdentityStore::in_memory(|key| key.fill(1));
        Identifier::new(Arc::new(store), Clock::standing(LATER_MICROS), limits)
    }

    fn open(folder: &Path, name: &str) -> Result<File, SkipReason> {
        open_at(File::open(folder).unwrap().as_fd(), &std::ffi::CString::new(name).unwrap())
    }

    fn identify(identifier: &Identifier, file: &File) -> Result<Option<Identified>, SkipReason> {
        identifier.file(file, b"name", None, &|| false)
    }

    #[test]
    fn a_script_is_named_by_its_content_and_remembered() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("run"), SCRIPT).unwrap();
        let identifier = identifier(Limits::default());
        let mut file = open(folder.path(), "run").unwrap();
        file.seek(SeekFrom::Start(3)).unwrap();
        let identified = identify(&identifier, &file).unwrap().unwrap();
        assert_eq!(identified.kind, FileKind::Script);
        assert_eq!(identified.digests.sha256, Sha256::new(sha2::Sha256::digest(SCRIPT).into()));
        assert_eq!(file.stream_position().unwrap(), 3, "the position belongs to whoever opened it");
        assert_eq!(identifier.store().gauges().candidates, 1);
        assert_eq!(identify(&identifier, &file).unwrap(), Some(identified));
    }

    #[test]
    fn text_and_emptiness_are_no_candidates() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("text"), "hello").unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        for name in ["text", "empty"] {
            assert_eq!(identify(&identifier(Limits::default()), &open(folder.path(), name).unwrap()), Ok(None));
        }
    }

    #[test]
    fn a_file_that_changed_a_moment_ago_is_named_but_not_remembered() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("run"), SCRIPT).unwrap();
        let file = open(folder.path(), "run").unwrap();
        let changed_at = Attributes::of(&fstat(&file).unwrap()).changed_at;
        let store = Arc::new(IdentityStore::in_memory(|key| key.fill(1)));
        let identifier = Identifier::new(store, Clock::standing(changed_at + 19_000), Limits::default());
        assert!(identify(&identifier, &file).unwrap().is_some());
        assert_eq!(identifier.store().gauges().candidates, 0);
    }

    #[test]
    fn a_file_that_somebody_may_be_writing_is_named_but_not_remembered() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("run"), SCRIPT).unwrap();
        let identifier = identifier(Limits::default());
        let writer = OpenOptions::new().write(true).open(folder.path().join("run")).unwrap();
        let file = open(folder.path(), "run").unwrap();
        assert!(identify(&identifier, &file).unwrap().is_some());
        assert_eq!(identifier.store().gauges().candidates, 0);
        drop(writer);
        assert!(identify(&identifier, &file).unwrap().is_some());
        assert_eq!(identifier.store().gauges().candidates, 1);
    }

    #[test]
    fn a_file_that_changes_during_every_read_is_skipped_after_a_bounded_number_of_them() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("run");
        fs::write(&path, SCRIPT).unwrap();
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        let reads = std::cell::Cell::new(0);
        // Asked while reading, so this is a change in the middle of each read.
        let change = || {
            reads.set(reads.get() + 1);
            writer.write_at(format!("{}", reads.get()).as_bytes(), SCRIPT.len() as u64 + reads.get()).unwrap();
            false
        };
        let outcome = identifier(Limits::default()).file(&open(folder.path(), "run").unwrap(), b"run", None, &change);
        assert_eq!(outcome, Err(SkipReason::ChangedWhileRead));
        assert_eq!(reads.get(), u64::from(READ_ATTEMPTS_MAX));
    }

    #[test]
    fn a_padded_program_is_too_large_and_never_named() {
        let folder = TempDir::new().unwrap();
        let mut file = fs::File::create(folder.path().join("huge")).unwrap();
        file.write_all(SCRIPT).unwrap();
        file.set_len(5 << 30).unwrap();
        drop(file);
        let identifier = identifier(Limits { digest_bytes_max: (5 << 30) - 1 });
        assert_eq!(identify(&identifier, &open(folder.path(), "huge").unwrap()), Err(SkipReason::TooLarge));
        assert_eq!(identifier.store().gauges().candidates, 0);
    }

    #[test]
    fn links_fifos_sockets_and_folders_are_refused_without_waiting() {
        let folder = TempDir::new().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        let identifier = identifier(Limits::default());
        for name in ["link", "fifo", "socket", "folder"] {
            let outcome = open(folder.path(), name).and_then(|file| identify(&identifier, &file));
            assert_eq!(outcome, Err(SkipReason::NotRegular), "{name}");
        }
        assert!(matches!(open(folder.path(), "missing"), Err(SkipReason::Vanished)));
    }
}
