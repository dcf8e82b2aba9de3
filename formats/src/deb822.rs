//! Stanzas of `Name: value` fields with continuation lines, as control files, indexes and sources have them. Read as a stream: of a
//! stanza only the wanted fields are kept, each within a bound, and the buffers are used again.

use std::io::{self, BufRead, Read};

/// Longest line; the longest `Depends` of a distribution has some tens of kilobytes.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// A stanza that says nothing reliable, or a stream that does not go on.
#[derive(Debug, thiserror::Error)]
pub enum StanzaProblem {
    /// The bytes could not be had, or not be unpacked.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Neither a field nor the continuation of one.
    #[error("line {0} is neither a field nor the continuation of one")]
    NotAField(u64),
    /// Longer than any line is.
    #[error("line {0} has more than {LINE_BYTES_MAX} bytes")]
    LineTooLong(u64),
    /// A wanted field twice: whoever reads it may take either.
    #[error("line {0} gives a field of its stanza a second time")]
    Twice(u64),
    /// A wanted field is longer than its bound.
    #[error("the field that ends at line {0} is too long")]
    ValueTooLong(u64),
}

/// Reads stanza after stanza.
pub(crate) struct Stanzas<R, const N: usize> {
    reader: R,
    wanted: [&'static str; N],
    value_bytes_max: usize,
    skips_comments: bool,
    line: Vec<u8>,
    line_number: u64,
}

/// The wanted fields of one stanza, in the order in which they were wanted. Continuation lines follow after a newline each.
pub(crate) type Stanza<const N: usize> = [Option<Vec<u8>>; N];

impl<R: BufRead, const N: usize> Stanzas<R, N> {
    pub(crate) const fn new(reader: R, wanted: [&'static str; N], value_bytes_max: usize) -> Self {
        Self { reader, wanted, value_bytes_max, skips_comments: false, line: Vec::new(), line_number: 0 }
    }

    /// Lines that begin with `#` are no part of anything.
    pub(crate) const fn with_comments(mut self) -> Self {
        self.skips_comments = true;
        self
    }

    /// The next stanza that has any field; `None` at the end. After an error the stream is not to be read on.
    pub(crate) fn next(&mut self) -> Result<Option<Stanza<N>>, StanzaProblem> {
        let mut stanza: Stanza<N> = [const { None }; N];
        let (mut has_begun, mut current) = (false, None);
        while self.read_line()? {
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
                if has_begun {
                    return Ok(Some(stanza));
                }
                continue;
            }
            if self.skips_comments && line.starts_with(b"#") {
                continue;
            }
            if matches!(line[0], b' ' | b'\t') {
                if !has_begun {
                    return Err(StanzaProblem::NotAField(self.line_number));
                }
                if let Some(value) = current.and_then(|at: usize| stanza[at].as_mut()) {
                    value.push(b'\n');
                    value.extend_from_slice(line[1..].trim_ascii_end());
                    if value.len() > self.value_bytes_max {
                        return Err(StanzaProblem::ValueTooLong(self.line_number));
                    }
                }
                continue;
            }
            has_begun = true;
            let colon =
                line.iter().position(|byte| *byte == b':').filter(|at| *at > 0).ok_or(StanzaProblem::NotAField(self.line_number))?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            current = self.wanted.iter().position(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()));
            if let Some(at) = current {
                if stanza[at].is_some() {
                    return Err(StanzaProblem::Twice(self.line_number));
                }
                if value.len() > self.value_bytes_max {
                    return Err(StanzaProblem::ValueTooLong(self.line_number));
                }
                stanza[at] = Some(value.to_vec());
            }
        }
        Ok(has_begun.then_some(stanza))
    }

    /// False at the end.
    fn read_line(&mut self) -> Result<bool, StanzaProblem> {
        self.line.clear();
        self.line_number += 1;
        let count = self.reader.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.line)?;
        if count > LINE_BYTES_MAX {
            return Err(StanzaProblem::LineTooLong(self.line_number));
        }
        Ok(count > 0)
    }
}

/// A value as text without control characters; `None` when it is empty or no such text.
pub(crate) fn word(value: Option<&[u8]>) -> Option<&str> {
    let text = str::from_utf8(value?).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}
