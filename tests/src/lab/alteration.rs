//! Ways to alter a file that a shell has not.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use doorward_agent::system::mapping::Mapping;
use nix::fcntl::{FallocateFlags, fallocate};
use rustix::fs::{XattrFlags, copy_file_range, setxattr};

/// One such way. All but the last two put content in the place of what is there, without another inode; none alters the length unless the
/// content is shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Alteration {
    /// `write(2)`
    Write,
    /// `truncate(2)` to the content's length; what is left stays
    Truncate,
    /// `fallocate(2)`: a hole where the content's last bytes would be
    Fallocate,
    /// `copy_file_range(2)`
    CopyFileRange,
    /// Stores through a shared mapping, `msync(2)`, `munmap(2)`
    Mapped,
    /// `setxattr(2)`; the content stays
    Attribute,
    /// `setxattr(2)` of the IMA attribute; the content stays
    Ima,
}

/// Bytes at the end that become a hole.
const HOLE_BYTES: u64 = 4;

impl Alteration {
    /// Every way that alters content.
    pub const OF_CONTENT: [Self; 5] = [Self::Write, Self::Truncate, Self::Fallocate, Self::CopyFileRange, Self::Mapped];

    /// The word of the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Truncate => "truncate",
            Self::Fallocate => "fallocate",
            Self::CopyFileRange => "copy-file-range",
            Self::Mapped => "mapped",
            Self::Attribute => "attribute",
            Self::Ima => "ima",
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn apply(self, path: &Path, content: &[u8]) -> Result<()> {
        if self == Self::Attribute {
            return Ok(setxattr(path, "user.lab", b"altered", XattrFlags::empty())?);
        }
        if self == Self::Ima {
            return Ok(setxattr(path, "security.ima", content, XattrFlags::empty())?);
        }
        let file = File::options().read(true).write(true).open(path)?;
        let length = content.len() as u64;
        match self {
            Self::Write => file.write_all_at(content, 0)?,
            Self::Truncate => file.set_len(length)?,
            Self::Fallocate => {
                let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(&file, mode, i64::try_from(length - HOLE_BYTES)?, i64::try_from(HOLE_BYTES)?)?;
            }
            Self::CopyFileRange => {
                let from = path.with_extension("source");
                fs::write(&from, content)?;
                let copied = copy_file_range(File::open(&from)?, Some(&mut 0), &file, Some(&mut 0), content.len())?;
                fs::remove_file(from)?;
                ensure!(copied == content.len(), "{copied} bytes were copied");
            }
            Self::Mapped => {
                let mut mapping = Mapping::of(&file)?;
                mapping.store(content);
                mapping.flush()?;
            }
            Self::Attribute | Self::Ima => {}
        }
        Ok(())
    }
}
