//! What can be wrong with one line of dpkg's database. The caller adds the file's name and decides how many it reports.

use super::PATH_BYTES_MAX;

/// A line that gave no fact, or the first line of a stanza that gave none. dpkg itself would refuse the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Faults of a line, or of the stanza that begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The last line lacks its newline: the file was cut short while being written or copied, and so was the line.
    #[error("cut short: the file does not end with a newline")]
    CutShort,
    /// Nothing where a name should be.
    #[error("no path")]
    PathMissing,
    /// Longer than the kernel would open.
    #[error("path of more than {PATH_BYTES_MAX} bytes")]
    PathTooLong,
    /// Would lead elsewhere than its names say, or can be no file's name.
    #[error("path with an empty, `.` or `..` component or a NUL")]
    PathNotPlain,
    /// Relative where dpkg writes absolute paths only.
    #[error("path without a leading slash")]
    PathNotAbsolute,
    /// Neither 32 hexadecimal digits nor (in a status file) one of dpkg's words for "none".
    #[error("not an MD5 digest of 32 hexadecimal digits")]
    Digest,
    /// Digest and path run together.
    #[error("no two spaces between digest and path")]
    Separator,
    /// A conffile with a mark before its path that dpkg does not know.
    #[error("unknown mark before the path")]
    Mark,
    /// Not part of three lines of the form path, path, package.
    #[error("not a diversion: expected two absolute paths, then a package name or `:`")]
    Diversion,
    /// Neither `Name: value` nor the continuation of one.
    #[error("neither a field nor the continuation of one")]
    NotAField,
    /// Twice in one stanza; the first one counts.
    #[error("second {0} field in one stanza")]
    FieldTwice(&'static str),
    /// The stanza says nothing without it and is passed over.
    #[error("stanza without a {0} field")]
    FieldMissing(&'static str),
    /// Characters, words or a length that no such field has; a stanza whose files are in doubt for it is passed over.
    #[error("not a value for a {0} field")]
    FieldInvalid(&'static str),
}

impl Fault {
    pub(crate) const fn at(self, line: usize) -> Problem {
        Problem { line, fault: self }
    }
}
