//! Going to a path so that no filesystem somebody else answers for can hold whoever goes.
//!
//! The mount table says which mounts lie on the way. Within one the kernel itself refuses to leave it; from one to the next a
//! single step is made, only where the table knows all that lies there, and its number is compared afterwards. Links are never
//! followed and nothing is opened but by name (O_PATH). Descriptors of mount points are not kept: each would make its unmounting
//! fail as busy.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::filesystem::Watching;
use super::mount::{self, Mount, Mounts};

/// `RESOLVE_CACHED` of `<linux/openat2.h>` (5.12), which nix lacks: the kernel gives up with EAGAIN rather than wait.
pub(super) const RESOLVE_CACHED: u64 = 0x20;
/// How often a step that would have had to wait is tried; what is mounted meanwhile makes it fail once or twice.
const CACHED_TRIES: usize = 4;
/// Bits of which one is enough for somebody other than the owner to write.
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;

/// Where a walk arrived.
#[derive(Debug)]
pub(crate) struct Place {
    /// Open by name only.
    pub(crate) file: OwnedFd,
    /// Of each folder above it, from `/` on: whether somebody other than root may put files there.
    pub(crate) user_writable: Vec<bool>,
}

/// Why a walk did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    /// A filesystem on the way, or at its end, is not this kernel's alone.
    #[error("the way there leads over another filesystem: {0}")]
    Foreign(&'static str),
    /// What is mounted is no longer, or not yet, what the table says.
    #[error("mounts changed on the way there")]
    Changed,
    /// Nothing is there, a link is on the way, or the kernel refused otherwise.
    #[error("cannot go there: {0}")]
    Refused(#[from] Errno),
}

/// Goes to an absolute path without links and dots, as this process sees it.
///
/// # Errors
/// [`Obstacle`]; nothing was waited for.
pub(crate) fn walk(path: &[u8], mounts: &Mounts) -> Result<Place, Obstacle> {
    let mut mount = mounts.root().ok_or(Obstacle::Changed)?;
    is_watched(mount)?;
    let mut place = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    arrived(&place, mount)?;
    let mut user_writable = Vec::new();
    let mut end = 0;
    for name in path.split(|byte| *byte == b'/') {
        end += name.len() + 1;
        if name.is_empty() {
            continue;
        }
        user_writable.push(is_user_writable(&fstat(&place)?));
        let stack = mounts.over(mount, &path[..end - 1]);
        match stack.last() {
            None => place = step(&place, name)?,
            Some(top) => {
                place = cross(&place, name, &stack)?;
                mount = top;
            }
        }
    }
    Ok(Place { file: place, user_writable })
}

/// Whether somebody other than root may put files into a folder. A group's write bit harms nobody when the group is root's own.
#[must_use]
pub(crate) const fn is_user_writable(folder: &FileStat) -> bool {
    let is_roots_own_group = folder.st_gid == 0 && folder.st_mode & 0o002 == 0;
    folder.st_uid != 0 || folder.st_mode & GROUP_OR_OTHERS_WRITE != 0 && !is_roots_own_group
}

/// One name further within a mount.
fn step(folder: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Obstacle> {
    open_name(folder, name, ResolveFlag::RESOLVE_NO_XDEV).map_err(|error| match error {
        Errno::EXDEV => Obstacle::Changed,
        error => Obstacle::Refused(error),
    })
}

/// One name further on to the topmost of the mounts that lie there.
///
/// SECURITY: an automounter below a local filesystem (systemd's `/efi`) may be passed only as long as it need not be asked, so the
/// step is made from the kernel's cache, where the name of a mount point always is. Elsewhere an older kernel, or a filesystem
/// that looks at its names each time, may take the longer way: it leads over local ones alone.
fn cross(folder: &OwnedFd, name: &[u8], stack: &[&Mount]) -> Result<OwnedFd, Obstacle> {
    let (top, below) = stack.split_last().ok_or(Obstacle::Changed)?;
    is_watched(top)?;
    let has_automounter = below.iter().any(|mount| mount.filesystem == "autofs");
    below.iter().filter(|mount| mount.filesystem != "autofs").try_for_each(|mount| is_watched(mount))?;
    let cached = || open_name(folder, name, ResolveFlag::from_bits_retain(RESOLVE_CACHED));
    let mut outcome = cached();
    for _ in 1..CACHED_TRIES {
        if !matches!(outcome, Err(Errno::EAGAIN)) {
            break;
        }
        outcome = cached();
    }
    let is_undecided = matches!(outcome, Err(Errno::EAGAIN | Errno::EINVAL));
    if is_undecided && has_automounter {
        return Err(Obstacle::Foreign("an automounter answers for it"));
    }
    if is_undecided {
        outcome = open_name(folder, name, ResolveFlag::empty());
    }
    let place = outcome?;
    arrived(&place, top)?;
    Ok(place)
}

fn open_name(folder: &OwnedFd, name: &[u8], resolve: ResolveFlag) -> Result<OwnedFd, Errno> {
    let resolve = resolve | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH;
    openat2(folder, name, OpenHow::new().flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).resolve(resolve))
}

fn is_watched(mount: &Mount) -> Result<(), Obstacle> {
    match mount.watching() {
        Watching::Watched => Ok(()),
        Watching::Needless => Err(Obstacle::Foreign("it holds no programs")),
        Watching::Impossible(reason) => Err(Obstacle::Foreign(reason)),
    }
}

fn arrived(place: &OwnedFd, mount: &Mount) -> Result<(), Obstacle> {
    (mount::id_of(place) == Some(mount.id)).then_some(()).ok_or(Obstacle::Changed)
}

#[cfg(test)]
mod tests;
