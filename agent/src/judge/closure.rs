//! The unblockable closure's members on this host: PID 1, the ELF loaders and the agent itself, by inode.
//!
//! Being found here is a claim only; row 1 also wants package evidence or a blessed digest.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use doorward_formats::Kind;
use nix::sys::stat::fstat;

use crate::identify::{FilesystemId, Identifier, Identity, Inode};

/// Programs of which the host has at least these two for certain: whatever is PID 1, and this one.
const PROGRAMS: [&str; 2] = ["/proc/1/exe", "/proc/self/exe"];

/// Members by filesystem and inode number: an update gives them new inodes, so they are found again with every package generation.
#[derive(Debug, Default)]
pub struct Closure(ArcSwap<HashSet<(FilesystemId, u64)>>);

impl Closure {
    /// Looks the members up, below `root` where they are named by path. What cannot be read is left out and so judged like any other
    /// file.
    pub fn find(&self, identifier: &Identifier, root: &Path) {
        let mut members = HashSet::new();
        for program in PROGRAMS {
            let Ok(mut file) = File::open(program) else { continue };
            members.extend(key(identifier, &file));
            if let Ok(Some(Kind::Elf(elf))) = Kind::of_file(&mut file)
                && let Some(loader) = elf.interpreter
                && let Ok(loader) = File::open(below(root, &loader))
            {
                members.extend(key(identifier, &loader));
            }
        }
        self.0.store(members.into());
    }

    /// Whether the file in this inode is a member.
    #[must_use]
    pub fn holds(&self, identity: &Identity) -> bool {
        self.0.load().contains(&(identity.filesystem, identity.inode))
    }
}

fn below(root: &Path, path: &[u8]) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(path));
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn key(identifier: &Identifier, file: &File) -> Option<(FilesystemId, u64)> {
    let stat = fstat(file).ok()?;
    let inode = Inode::of(identifier.filesystems().id(stat.st_dev, file).ok()?, &stat).ok()?;
    Some((inode.identity.filesystem, inode.identity.inode))
}
