//! Lines of a file in memory, numbered, with the one thing about a last line that matters: whether it is whole.

use super::{Fault, Problem};

/// A line without its newline.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) text: &'a [u8],
    is_whole: bool,
}

impl<'a> Line<'a> {
    /// The line's text, unless the file ends in the middle of it: half a path is another path.
    pub(crate) const fn whole(&self) -> Result<&'a [u8], Problem> {
        if self.is_whole { Ok(self.text) } else { Err(Fault::CutShort.at(self.number)) }
    }
}

/// Goes on after any line; a NUL or an odd byte ends nothing.
#[derive(Debug, Clone)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
    last_number: usize,
}

impl<'a> Lines<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self::numbered_from(1, text)
    }

    /// Lines of a part of a file that begins with this line.
    pub(crate) const fn numbered_from(first: usize, text: &'a [u8]) -> Self {
        Self { rest: text, last_number: first - 1 }
    }

    /// Bytes not yet given out.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        self.last_number += 1;
        let (text, rest, is_whole) = match self.rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..], true),
            None => (self.rest, &[][..], false),
        };
        self.rest = rest;
        Some(Line { number: self.last_number, text, is_whole })
    }
}
