//! Whether a file can change between its judgement and its execution, and the lease that keeps it from changing.
//!
//! A store through a shared mapping shows nowhere until it is too late, so what somebody other than root may write is let through only
//! under a read lease: while it lasts, nobody can open the file for writing without the execution failing.

use std::fs::File;

use nix::sys::stat::fstat;
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, fstatfs};

use crate::system::{lease, xattr};

/// Permission bits of which one is enough for somebody other than the owner to write.
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;

/// What became of keeping a file as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It stays, for as long as the descriptor is open.
    Kept,
    /// Somebody has it open for writing now.
    BeingWritten,
    /// The filesystem knows no leases: what changes afterwards is noticed, not prevented.
    Noticed,
}

/// Keeps a file from changing for as long as this descriptor is open; nothing is to be done when only root could change it.
pub(super) fn keep(file: &File, only_root_writes: bool) -> Keeping {
    if only_root_writes {
        return Keeping::Kept;
    }
    match lease::take(file) {
        Ok(true) => Keeping::Kept,
        Ok(false) => Keeping::BeingWritten,
        Err(_) => Keeping::Noticed,
    }
}

/// Whether nobody but root may write the file: root owns it, neither group nor others have the bit, no list grants it to anybody, and
/// no other filesystem lies below it whose files could be written instead.
pub(super) fn only_root_writes(file: &File) -> bool {
    let is_roots = fstat(file).is_ok_and(|stat| stat.st_uid == 0 && stat.st_mode & GROUP_OR_OTHERS_WRITE == 0);
    is_roots && !xattr::has_access_list(file) && fstatfs(file).is_ok_and(|filesystem| filesystem.filesystem_type() != OVERLAYFS_SUPER_MAGIC)
}
