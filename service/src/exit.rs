//! Exit codes that scripts can rely on, from sysexits(3). The one place that maps failures of a program to numbers.

use std::process::ExitCode;

/// How a program ended. The number is in sysexits(3); the words say whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// The command was refused or found nothing, in the command's own terms.
    Failure = 1,
    /// The command line is wrong.
    Usage = 64,
    /// What was given to read is damaged or malformed.
    Data = 65,
    /// A named file cannot be read.
    NoInput = 66,
    /// The other side (daemon, server) does not answer.
    Unavailable = 69,
    /// A defect of this program.
    Software = 70,
    /// The kernel refused something no other code fits.
    Os = 71,
    /// A file of ours cannot be made.
    CannotCreate = 73,
    /// Reading or writing failed on the way.
    Io = 74,
    /// Try again later.
    Temporary = 75,
    /// Needs more rights.
    NoPermission = 77,
    /// The configuration is wrong or incomplete.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
