//! `info/NAME[:ARCH].list`: every path of an unpacked package, directories and symbolic links too, one absolute path a
//! line. Nothing tells a directory from a file here; the file system does.

use super::line::Lines;
use super::{Problem, path};

/// Paths of one package in the file's order; the entry `/.` for the root is left out.
#[derive(Debug, Clone)]
pub struct List<'a>(Lines<'a>);

impl<'a> List<'a> {
    /// Reads a whole `.list` file.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self(Lines::new(text))
    }
}

impl<'a> Iterator for List<'a> {
    type Item = Result<&'a [u8], Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.0.next()?;
            let text = match line.whole() {
                Err(problem) => return Some(Err(problem)),
                Ok(b"/." | b"/") => continue,
                Ok(text) => text,
            };
            return Some(path::absolute_file(text).map_err(|fault| fault.at(line.number)));
        }
    }
}
