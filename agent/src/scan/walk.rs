//! Opening and listing folders without leaving the mount, following a link or moving anybody's access times.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::dir::{Dir, OwningIter};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstat};

use crate::exec::mount::id_of;
use crate::exec::walk::is_user_writable;
use crate::identify::SkipReason;

/// An open folder and its names.
pub(super) struct Listing {
    pub(super) folder: OwnedFd,
    /// `st_dev` of what lies in it, but for single files mounted over others.
    pub(super) device: u64,
    /// Somebody other than root can put files here.
    pub(super) user_writable: bool,
    pub(super) entries: OwningIter,
}

/// Opens the folder at `path` below `start`; `Ok(None)` when something else is mounted there.
pub(super) fn open(start: &File, path: &[u8]) -> Result<Option<Listing>, SkipReason> {
    let path = if path.is_empty() { b"." } else { path };
    let folder = match open_beneath(start, path) {
        Ok(folder) => folder,
        Err(Errno::EXDEV) => return Ok(None),
        // A link took the folder's place after it was listed.
        Err(Errno::ELOOP) => return Err(SkipReason::Vanished),
        Err(error) => return Err(error.into()),
    };
    let stat = fstat(&folder)?;
    let entries = Dir::from_fd(folder.try_clone().map_err(SkipReason::from)?)?.into_iter();
    let user_writable = is_user_writable(&stat);
    Ok(Some(Listing { folder, device: stat.st_dev, user_writable, entries }))
}

/// Whether a file that shows another device than its folder belongs to another mount. If not, it lies on a layer of an overlay.
pub(super) fn is_mounted_over(listing: &Listing, name: &CStr) -> Result<bool, SkipReason> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(&listing.folder, name, flags, Mode::empty())?;
    // Where the kernel does not tell, it is taken for the worse.
    Ok(id_of(&file).is_none_or(|mount| id_of(&listing.folder) != Some(mount)))
}

/// SECURITY: a folder on the way may be replaced by a link while the scan runs; the kernel refuses to go through it, so a
/// path that is reported is the path the file has.
fn open_beneath(start: &File, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let resolve = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_BENEATH;
    let how = OpenHow::new().resolve(resolve);
    match openat2(start, path, how.flags(flags | OFlag::O_NOATIME)) {
        // O_NOATIME is for the owner and for CAP_FOWNER.
        Err(Errno::EPERM) => match openat2(start, path, how.flags(flags)) {
            Err(Errno::EPERM) => open_plainly(start, path, flags),
            outcome => outcome,
        },
        Err(Errno::ENOSYS) => open_plainly(start, path, flags),
        outcome => outcome,
    }
}

/// For kernels before 5.6, and sandboxes that refuse what they do not know: a link on the way is followed there.
fn open_plainly(start: &File, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let folder = openat(start.as_fd(), path, flags, Mode::empty())?;
    if fstat(&folder)?.st_dev == fstat(start)?.st_dev { Ok(folder) } else { Err(Errno::EXDEV) }
}
