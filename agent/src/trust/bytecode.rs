//! Python bytecode that the host compiled itself, as packages' triggers and root's own runs of Python do: trusted with its trusted,
//! unchanged source. Decision 0013 says what that proves and what not.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use doorward_formats::{BYTECODE_HEADER_BYTES, SourceStamp, bytecode_source};
use doorward_policy::{Fit, PathBytes};
use nix::sys::stat::{FileStat, fstat};

use super::PackageTrust;
use crate::identify::{Identity, Reader, open_at};

/// The folder that Python keeps compiled modules in.
const CACHE: &[u8] = b"__pycache__";
/// Larger sources vouch for nothing; the largest in Debian has 5 MiB.
const SOURCE_BYTES_MAX: i64 = 16 << 20;
/// Permissions that nobody but the owner may have. The mask of an access list shows in the group's.
const OTHERS_WRITE: u32 = 0o022;

impl PackageTrust {
    /// The package, by its index in the generation, whose source the `.pyc` called `name` in `folder` says it was compiled from: one that
    /// lies beside it, is what the package lists, and was not changed since. `path` is that of the `.pyc`, below the root; `identity` is
    /// what was digested. Whoever calls has made sure that nobody but root can write the folder and those above it. Reads one source.
    #[must_use]
    pub fn compiled(&self, path: &PathBytes, identity: &Identity, folder: impl AsFd, name: &CStr) -> Option<usize> {
        let source = source_of(path)?;
        let owner = self.owner(&source).filter(|owner| owner.lists_digest())?;
        let (compiled, stat) = opened_as_roots(&folder, name)?;
        if Identity::of(identity.filesystem, &stat) != *identity {
            return None;
        }
        let mut header = [0; BYTECODE_HEADER_BYTES];
        compiled.read_exact_at(&mut header, 0).ok()?;
        let stamp = SourceStamp::of_header(&header)?;
        let beside = CString::new([b"../", source.file_name()].concat()).ok()?;
        let (file, before) = opened_as_roots(&folder, &beside)?;
        // The low 32 bits of both, as Python compares them.
        let is_named = before.st_dev == stat.st_dev
            && before.st_size <= SOURCE_BYTES_MAX
            && (before.st_mtime as u32, before.st_size as u32) == (stamp.modified_s, stamp.size);
        if !is_named {
            return None;
        }
        let (size, blocks) = (u64::try_from(before.st_size).ok()?, u64::try_from(before.st_blocks).ok()?);
        let digests = Reader::default().digest(&file, size, blocks, owner.wanted_digest(), &|| false).ok()?;
        let after = fstat(&file).ok()?;
        let is_unchanged = Identity::of(identity.filesystem, &after) == Identity::of(identity.filesystem, &before);
        let (package, fit) = owner.fit(&digests);
        (is_unchanged && fit == Fit::Match).then_some(package)
    }
}

/// `/a/__pycache__/x.cpython-311.pyc` comes from `/a/x.py`.
fn source_of(path: &PathBytes) -> Option<PathBytes> {
    let folder = path.as_bytes().strip_suffix(path.file_name())?.strip_suffix(b"/")?;
    let above = folder.strip_suffix(CACHE).filter(|above| above.ends_with(b"/"))?;
    Some(PathBytes::new([above, &bytecode_source(path.file_name())?].concat()))
}

/// A regular file that only root can write.
fn opened_as_roots(folder: impl AsFd, name: &CStr) -> Option<(File, FileStat)> {
    let file = open_at(folder, name).ok()?;
    let stat = fstat(&file).ok()?;
    let is_roots = stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_uid == 0 && stat.st_mode & OTHERS_WRITE == 0;
    is_roots.then_some((file, stat))
}
