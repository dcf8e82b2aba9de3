//! Ways to execute a program that a shell has not: by a descriptor, or from a copy that has no name.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::execveat;

use super::entrance::{PATH, become_program, refused};

/// `AT_EXECVE_CHECK` of `<linux/fcntl.h>` (6.14), which nix lacks: the kernel says whether it would execute, and does not.
const EXECVE_CHECK: AtFlags = AtFlags::from_bits_retain(0x1_0000);

/// One such way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Passage {
    /// A copy in memory, where no file system has it
    Memory,
    /// A descriptor that is open by name only
    Descriptor,
    /// A copy that never had a name
    Unnamed,
    /// A copy whose name is gone
    Unlinked,
    /// Ask the kernel whether it may be executed, and end well if so
    Check,
}

impl Passage {
    /// The word of the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptor => "descriptor",
            Self::Unnamed => "unnamed",
            Self::Unlinked => "unlinked",
            Self::Check => "check",
        }
    }

    /// Becomes the program; `folder` is where copies are made.
    ///
    /// # Errors
    /// What could not be prepared.
    pub(super) fn go(self, folder: &Path, command: &[OsString]) -> Result<ExitCode> {
        let path = Path::new(&command[0]);
        Ok(match self {
            Self::Memory => become_open(copied(File::from(memfd_create("copy", MFdFlags::MFD_CLOEXEC)?), path)?, command),
            Self::Unnamed => {
                let flags = OFlag::O_TMPFILE.bits();
                let copy = File::options().read(true).write(true).custom_flags(flags).mode(0o755).open(folder)?;
                become_open(copied(copy, path)?, command)
            }
            Self::Unlinked => {
                let name = folder.join(format!("unlinked-{}", std::process::id()));
                let copy = copied(File::options().read(true).write(true).create_new(true).mode(0o755).open(&name)?, path)?;
                fs::remove_file(&name)?;
                become_open(copy, command)
            }
            Self::Descriptor => refused(execute_at(path, command, AtFlags::empty())? as i32),
            Self::Check => match execute_at(path, command, EXECVE_CHECK)? {
                Errno::UnknownErrno => ExitCode::SUCCESS,
                error => refused(error as i32),
            },
        })
    }
}

/// Fills an empty file with a program's bytes; open for reading alone then, as what is open for writing cannot be executed.
fn copied(mut copy: File, program: &Path) -> Result<File> {
    let mut bytes = Vec::new();
    File::open(program)?.read_to_end(&mut bytes)?;
    copy.write_all(&bytes)?;
    copy.set_permissions(fs::Permissions::from_mode(0o755))?;
    Ok(File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))?)
}

fn become_open(program: File, command: &[OsString]) -> ExitCode {
    let mut renamed = vec![OsString::from(format!("/proc/self/fd/{}", program.as_raw_fd()))];
    renamed.extend(command[1..].iter().cloned());
    become_program(&renamed)
}

/// Why the kernel would not; no error at all when it was only asked.
fn execute_at(program: &Path, command: &[OsString], flags: AtFlags) -> Result<Errno> {
    let program = File::options().read(true).custom_flags(OFlag::O_PATH.bits()).open(program)?;
    let arguments = command.iter().map(|argument| CString::new(argument.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let environment = [CString::new(format!("PATH={PATH}"))?];
    Errno::clear();
    let Err(error) = execveat(&program, c"", &arguments, &environment, flags | AtFlags::AT_EMPTY_PATH);
    Ok(error)
}
