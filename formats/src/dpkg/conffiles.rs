//! `info/NAME[:ARCH].conffiles`: the paths a package declares as configuration, one absolute path a line, trailing
//! blanks ignored, optionally after `remove-on-upgrade `. Their digests are in the status file ([`super::Package`]).

use super::line::Lines;
use super::{Fault, Problem, path};

/// A file that dpkg leaves to the administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredConffile<'a> {
    /// Where the package puts it.
    pub path: &'a [u8],
    /// The package no longer ships it and wants it gone at its next upgrade, unless it was changed.
    pub remove_on_upgrade: bool,
}

/// Declared conffiles of one package in the file's order.
#[derive(Debug, Clone)]
pub struct Conffiles<'a>(Lines<'a>);

impl<'a> Conffiles<'a> {
    /// Reads a whole `.conffiles` file.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self(Lines::new(text))
    }
}

impl<'a> Iterator for Conffiles<'a> {
    type Item = Result<DeclaredConffile<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.0.next()?;
            match line.whole() {
                Err(problem) => return Some(Err(problem)),
                Ok(text) if text.trim_ascii_end().is_empty() => {}
                Ok(text) => return Some(declared(text.trim_ascii_end()).map_err(|fault| fault.at(line.number))),
            }
        }
    }
}

fn declared(line: &[u8]) -> Result<DeclaredConffile<'_>, Fault> {
    if line.starts_with(b"/") {
        return Ok(DeclaredConffile { path: path::absolute_file(line)?, remove_on_upgrade: false });
    }
    let path = line.strip_prefix(b"remove-on-upgrade ").ok_or(Fault::Mark)?;
    Ok(DeclaredConffile { path: path::absolute_file(path)?, remove_on_upgrade: true })
}
