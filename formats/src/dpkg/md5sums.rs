//! `info/NAME[:ARCH].md5sums`: the digests a package came with, one file a line: 32 hexadecimal digits, two spaces, the
//! path without a leading slash up to the newline. Nothing is quoted or escaped. Conffiles are usually not in it (their
//! digests are in the status file), and some packages have no such file at all.

use doorward_policy::Md5;

use super::line::Lines;
use super::{Fault, Problem, path};

/// Hexadecimal digits of a digest.
const DIGITS: usize = Md5::LEN * 2;

/// What a package says a file of its own holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum<'a> {
    /// Where the package puts the file, before any diversion.
    pub path: &'a [u8],
    /// MD5 of the content as packaged. All that dpkg has; no proof against a forger, only against the package's change.
    pub md5: Md5,
}

/// Digests of one package in the file's order.
#[derive(Debug, Clone)]
pub struct Md5sums<'a>(Lines<'a>);

impl<'a> Md5sums<'a> {
    /// Reads a whole `.md5sums` file.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self(Lines::new(text))
    }
}

impl<'a> Iterator for Md5sums<'a> {
    type Item = Result<Sum<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.0.next()?;
        Some(line.whole().and_then(|text| sum(text).map_err(|fault| fault.at(line.number))))
    }
}

fn sum(line: &[u8]) -> Result<Sum<'_>, Fault> {
    let (digits, rest) = line.split_at_checked(DIGITS).ok_or(Fault::Digest)?;
    let md5 = Md5::from_hex(digits).ok_or(Fault::Digest)?;
    let path = rest.strip_prefix(b"  ").ok_or(Fault::Separator)?;
    Ok(Sum { path: path::relative_file(path)?, md5 })
}
