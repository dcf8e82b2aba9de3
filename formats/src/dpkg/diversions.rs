//! `diversions`: files that another package or the administrator moved aside, three lines each: the path, where the
//! file of everybody else goes instead, and the package that keeps the path (`:` when the administrator diverted it).

use super::line::{Line, Lines};
use super::{Fault, Problem, path};

/// One diversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diversion<'a> {
    /// The path that packages believe they own.
    pub from: &'a [u8],
    /// Where their file really is.
    pub to: &'a [u8],
    /// Name, without architecture, of the one package whose file stays at [`Self::from`]; `None` means nobody's does.
    pub by: Option<&'a [u8]>,
}

impl Diversion<'_> {
    /// Whether a package's file at [`Self::from`] really lies at [`Self::to`].
    #[must_use]
    pub fn diverts(&self, package: &str) -> bool {
        self.by != Some(package.as_bytes())
    }
}

/// All diversions in the file's order. A faulty line costs that line only: reading goes on at the next line that begins
/// three well-formed ones, so that a lost line does not shift all that follow.
#[derive(Debug, Clone)]
pub struct Diversions<'a>(Lines<'a>);

impl<'a> Diversions<'a> {
    /// Reads the whole file.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self(Lines::new(text))
    }
}

impl<'a> Iterator for Diversions<'a> {
    type Item = Result<Diversion<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.0.next()?;
        let mut ahead = self.0.clone();
        Some(diversion(&first, &mut ahead).inspect(|_| self.0 = ahead))
    }
}

fn diversion<'a>(first: &Line<'a>, others: &mut Lines<'a>) -> Result<Diversion<'a>, Problem> {
    let from = first.whole()?;
    let mut next = || others.next().and_then(|line| line.whole().ok()).ok_or(Fault::Diversion.at(first.number));
    let (to, by) = (next()?, next()?);
    if !from.starts_with(b"/") || !to.starts_with(b"/") || by.is_empty() || by.starts_with(b"/") {
        return Err(Fault::Diversion.at(first.number));
    }
    let path = |path| path::absolute_file(path).map_err(|fault| fault.at(first.number));
    Ok(Diversion { from: path(from)?, to: path(to)?, by: (by != b":").then_some(by) })
}
