//! `status`: one stanza of `Name: value` fields for every package dpkg has ever heard of, empty lines between them.
//! Files under `updates/`, where dpkg writes changes before it merges them, have the same form.

use super::line::{Line, Lines};
use super::package::{MultiArch, Package, RecordedConffiles};
use super::{Fault, Flag, Problem, State, Want};

/// Longest value of a field that is kept; names and versions have some tens of bytes.
const VALUE_BYTES_MAX: usize = 1024;

/// Packages in the file's order, and the faults between them. A faulty line costs what it says: a stanza stands without
/// it unless a field that says which files are meant (`Package`, `Version`, `Architecture`, `Multi-Arch`, `Status`) is
/// spoiled. Stanzas without version or architecture that only remember a wish (`not-installed`), or that dpkg is just
/// beginning to unpack, have no files and are passed over.
#[derive(Debug, Clone)]
pub struct Status<'a> {
    text: &'a [u8],
    lines: Lines<'a>,
    stanza: Stanza<'a>,
}

/// A stanza as far as it has been read.
#[derive(Debug, Clone, Default)]
struct Stanza<'a> {
    /// Line it began with; 0 while none has begun.
    first_line: usize,
    /// A field that says which files are meant was refused, and reported.
    is_spoiled: bool,
    field: Field,
    name: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    multi_arch: Option<MultiArch>,
    status: Option<(Want, Flag, State)>,
    maintainer: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    /// Line number, start and end of the field's further lines.
    conffiles: Option<(usize, usize, usize)>,
}

/// What a continuation line would continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Field {
    #[default]
    None,
    Conffiles,
    Other,
}

impl<'a> Status<'a> {
    /// Reads a whole file.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, lines: Lines::new(text), stanza: Stanza::default() }
    }

    /// Ends the stanza; `None` when there was none, or nothing of it is to be told.
    fn finish(&mut self) -> Option<Result<Package<'a>, Problem>> {
        let stanza = std::mem::take(&mut self.stanza);
        if stanza.first_line == 0 || stanza.is_spoiled {
            return None;
        }
        stanza.package(self.text).map_err(|fault| fault.at(stanza.first_line)).transpose()
    }

    /// Takes one line that is not empty.
    fn take(&mut self, line: &Line<'a>) -> Result<(), Problem> {
        let end = self.text.len() - self.lines.rest().len();
        let text = line.whole()?;
        let stanza = &mut self.stanza;
        if stanza.first_line == 0 {
            stanza.first_line = line.number;
        }
        if matches!(text.first(), Some(b' ' | b'\t')) {
            return match stanza.field {
                Field::None => Err(Fault::NotAField.at(line.number)),
                Field::Other => Ok(()),
                Field::Conffiles => {
                    if let Some((_, _, conffiles_end)) = &mut stanza.conffiles {
                        *conffiles_end = end;
                    }
                    Ok(())
                }
            };
        }
        stanza.field = Field::Other;
        let (name, value) = split_field(text).ok_or(Fault::NotAField.at(line.number))?;
        if name.eq_ignore_ascii_case(b"Conffiles") {
            let outcome = set(&mut stanza.conffiles, "Conffiles", (line.number + 1, end, end));
            outcome.map_err(|fault| fault.at(line.number))?;
            stanza.field = Field::Conffiles;
            // dpkg begins the list on the next line and takes nothing on this one.
            return if value.is_empty() { Ok(()) } else { Err(Fault::FieldInvalid("Conffiles").at(line.number)) };
        }
        stanza.field(name, value).map_err(|fault| fault.at(line.number))
    }
}

impl<'a> Iterator for Status<'a> {
    type Item = Result<Package<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(line) = self.lines.next() {
            if line.text.is_empty() {
                if let Some(item) = self.finish() {
                    return Some(item);
                }
            } else if let Err(problem) = self.take(&line) {
                return Some(Err(problem));
            }
        }
        self.finish()
    }
}

impl<'a> Stanza<'a> {
    /// Takes a field of one line; fields of no concern are skipped.
    fn field(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Fault> {
        if let Some((known, slot)) = [("Maintainer", &mut self.maintainer), ("Source", &mut self.source), ("Origin", &mut self.origin)]
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        {
            return bounded(value).ok_or(Fault::FieldInvalid(known)).and_then(|value| set(slot, known, value));
        }
        let outcome = if name.eq_ignore_ascii_case(b"Package") {
            set_parsed(&mut self.name, "Package", package_name(value))
        } else if name.eq_ignore_ascii_case(b"Version") {
            set_parsed(&mut self.version, "Version", version(value))
        } else if name.eq_ignore_ascii_case(b"Architecture") {
            set_parsed(&mut self.architecture, "Architecture", architecture(value))
        } else if name.eq_ignore_ascii_case(b"Multi-Arch") {
            set_parsed(&mut self.multi_arch, "Multi-Arch", MultiArch::from_word(value))
        } else if name.eq_ignore_ascii_case(b"Status") {
            set_parsed(&mut self.status, "Status", status(value))
        } else {
            Ok(())
        };
        self.is_spoiled |= matches!(outcome, Err(Fault::FieldInvalid(_)));
        outcome
    }

    /// The package, `Ok(None)` when the stanza stands for no files.
    fn package(&self, text: &'a [u8]) -> Result<Option<Package<'a>>, Fault> {
        let name = self.name.ok_or(Fault::FieldMissing("Package"))?;
        let (want, flag, state) = self.status.ok_or(Fault::FieldMissing("Status"))?;
        let (version, architecture) = match (self.version, self.architecture) {
            (Some(version), Some(architecture)) => (version, architecture),
            _ if matches!(state, State::NotInstalled | State::HalfInstalled) => return Ok(None),
            (None, _) => return Err(Fault::FieldMissing("Version")),
            (_, None) => return Err(Fault::FieldMissing("Architecture")),
        };
        let (first_line, start, end) = self.conffiles.unwrap_or((1, 0, 0));
        Ok(Some(Package {
            name,
            version,
            architecture,
            multi_arch: self.multi_arch.unwrap_or_default(),
            want,
            flag,
            state,
            maintainer: self.maintainer,
            source: self.source,
            origin: self.origin,
            conffiles: RecordedConffiles::new(first_line, &text[start..end]),
        }))
    }
}

/// Name and value without the blanks around them; `None` unless it is a field.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then(|| (name, line[colon + 1..].trim_ascii()))
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::FieldTwice(name));
    }
    *slot = Some(value);
    Ok(())
}

fn set_parsed<T>(slot: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), Fault> {
    set(slot, name, value.ok_or(Fault::FieldInvalid(name))?)
}

fn bounded(value: &[u8]) -> Option<&[u8]> {
    (value.len() <= VALUE_BYTES_MAX).then_some(value)
}

/// The value as text when it is short enough, not empty and every byte passes.
fn text_of(value: &[u8], is_allowed: impl Fn(u8) -> bool) -> Option<&str> {
    let value = bounded(value)?;
    let is_text = !value.is_empty() && value.iter().all(|byte| byte.is_ascii() && is_allowed(*byte));
    is_text.then(|| str::from_utf8(value).ok()).flatten()
}

/// SECURITY: the name becomes part of a file's name under `info/`, so a slash in it would leave that folder.
pub(crate) fn package_name(value: &[u8]) -> Option<&str> {
    let name = text_of(value, |byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))?;
    name.starts_with(|first: char| first.is_ascii_alphanumeric()).then_some(name)
}

pub(crate) fn version(value: &[u8]) -> Option<&str> {
    text_of(value, |byte| byte.is_ascii_graphic())
}

/// SECURITY: becomes part of a file's name like the package's.
pub(crate) fn architecture(value: &[u8]) -> Option<&str> {
    let name = text_of(value, |byte| byte.is_ascii_alphanumeric() || byte == b'-')?;
    name.starts_with(|first: char| first.is_ascii_alphanumeric()).then_some(name)
}

fn status(value: &[u8]) -> Option<(Want, Flag, State)> {
    let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let status = (Want::from_word(words.next()?)?, Flag::from_word(words.next()?)?, State::from_word(words.next()?)?);
    words.next().is_none().then_some(status)
}
