//! From an open file to what it is: the store is asked first, then one read settles it, then the store is told.

use std::fs::File;
use std::sync::Arc;

use doorward_service::clock::Clock;
use nix::sys::stat::{FileStat, SFlag, fstat};

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
    /// `name` is the last component of its path, as far as there is one. With `want_md5` the digests include MD5 (see
    /// `PackageTrust::lists_digest`). `stop` is asked every few hundred microseconds while reading.
    ///
    /// # Errors
    /// The reason why it cannot be told. It is then neither a candidate nor cleared.
    pub fn file(&self, file: &File, name: &[u8], want_md5: bool, stop: &dyn Fn() -> bool) -> Result<Option<Identified>, SkipReason> {
        let stat = fstat(file)?;
        let inode = Inode::of(self.filesystems.id(stat.st_dev, file)?, &stat)?;
        if let Some(known) = self.store.candidate(&inode, want_md5) {
            return Ok(Some(known));
        }
        let claim = NameClaim::of(name);
        let examined = self.examine(&mut Reader::default(), file, claim, |_| want_md5, stop)?;
        let mut memo = Memo::default();
        memo.keep(&self.store, &examined, claim);
        self.store.remember(&mut memo);
        Ok(examined.candidate)
    }

    /// Looks at the content, whatever the store knows, and remembers nothing. `want_md5` is asked for candidates only.
    ///
    /// # Errors
    /// As for [`Self::file`].
    pub fn examine(
        &self,
        reader: &mut Reader,
        file: &File,
        claim: NameClaim,
        want_md5: impl Fn(&Inode) -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Result<Examined, SkipReason> {
        let mut before = self.inode(file)?;
        for _ in 0..READ_ATTEMPTS_MAX {
            // SECURITY: both before the first byte is read; see the folder's header.
            let may_last = before.identity.is_settled(self.clock.now_micros()) && lease::has_no_writer(file).unwrap_or(false);
            let kind = if before.identity.size == 0 { None } else { reader.kind(file, claim)? };
            let candidate = match kind {
                None => Ok(None),
                Some(_) if before.identity.size > self.limits.digest_bytes_max => Err(SkipReason::TooLarge),
                Some(kind) => reader
                    .digest(file, before.identity.size, before.blocks, want_md5(&before), stop)
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

    fn inode(&self, file: &File) -> Result<Inode, SkipReason> {
        let stat = fstat(file)?;
        Inode::of(self.filesystems.id(stat.st_dev, file)?, &stat)
    }
}
