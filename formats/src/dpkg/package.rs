//! What a stanza of the status file says about a package, as far as trust and the inventory care.

use doorward_policy::Md5;

use super::line::Lines;
use super::{Fault, Flag, Problem, State, Want, path};

/// A package in some state of being on the system.
#[derive(Debug, Clone)]
pub struct Package<'a> {
    /// Letters, digits and `+-._` only, so it can be part of a file's name.
    pub name: &'a str,
    /// As dpkg compares it (`1:2.36-9+deb12u10`); printable ASCII without blanks.
    pub version: &'a str,
    /// The package's own architecture or `all`; letters, digits and `-` only.
    pub architecture: &'a str,
    /// Whether several architectures of it may be installed side by side.
    pub multi_arch: MultiArch,
    /// What the administrator asked for.
    pub want: Want,
    /// Whether dpkg knows it to be broken.
    pub flag: Flag,
    /// How far dpkg has come.
    pub state: State,
    /// Who answers for the package, a name and a mail address, as free bytes.
    pub maintainer: Option<&'a [u8]>,
    /// Source package, with its version in parentheses where that differs (`glibc (2.36-9)`); `None` means the same name.
    pub source: Option<&'a [u8]>,
    /// Distribution or vendor, where the package names one; most do not.
    pub origin: Option<&'a [u8]>,
    pub(super) conffiles: RecordedConffiles<'a>,
}

impl<'a> Package<'a> {
    /// What its files under `info/` are called before `.list` and the like. With the database format of before dpkg 1.16
    /// (2011) they are called by the bare name in every case.
    #[must_use]
    pub fn info_stem(&self) -> String {
        match self.multi_arch {
            MultiArch::Same => format!("{}:{}", self.name, self.architecture),
            MultiArch::No | MultiArch::Foreign | MultiArch::Allowed => self.name.to_owned(),
        }
    }

    /// The configuration files dpkg keeps account of, with the digests of what the package brought.
    #[must_use]
    pub fn conffiles(&self) -> RecordedConffiles<'a> {
        self.conffiles.clone()
    }
}

/// The `Multi-Arch` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MultiArch {
    /// One architecture at a time; what a missing field means.
    #[default]
    No,
    /// Side by side, its files under `info/` carry the architecture.
    Same,
    /// One, serving all architectures.
    Foreign,
    /// One, serving all where a dependency asks for that.
    Allowed,
}

impl MultiArch {
    pub(crate) fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"no" => Some(Self::No),
            b"same" => Some(Self::Same),
            b"foreign" => Some(Self::Foreign),
            b"allowed" => Some(Self::Allowed),
            _ => None,
        }
    }
}

/// A configuration file as the status file records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conffile<'a> {
    /// Where the package puts it.
    pub path: &'a [u8],
    /// MD5 of what the package last brought, not of what the administrator made of it; `None` when it has not been
    /// brought yet (`newconffile`) or is not there (`nonexistent`, `-`).
    pub md5: Option<Md5>,
    /// The package no longer has it.
    pub obsolete: bool,
    /// The package wants it gone at its next upgrade, unless it was changed.
    pub remove_on_upgrade: bool,
}

/// The lines of a `Conffiles` field: ` /path digest [obsolete] [remove-on-upgrade]`. A path may hold spaces.
#[derive(Debug, Clone)]
pub struct RecordedConffiles<'a>(Lines<'a>);

impl<'a> RecordedConffiles<'a> {
    /// Lines of a field that begin with this line of the file.
    pub(super) const fn new(first_line: usize, text: &'a [u8]) -> Self {
        Self(Lines::numbered_from(first_line, text))
    }
}

impl<'a> Iterator for RecordedConffiles<'a> {
    type Item = Result<Conffile<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.0.next()?;
            let text = line.text.trim_ascii();
            if !text.is_empty() {
                return Some(recorded(text).map_err(|fault| fault.at(line.number)));
            }
        }
    }
}

fn recorded(line: &[u8]) -> Result<Conffile<'_>, Fault> {
    // From the right, as the path alone may hold spaces.
    let (line, remove_on_upgrade) = without_mark(line, b" remove-on-upgrade");
    let (line, obsolete) = without_mark(line, b" obsolete");
    let digest_at = line.iter().rposition(|byte| *byte == b' ').ok_or(Fault::Digest)?;
    let md5 = match &line[digest_at + 1..] {
        b"newconffile" | b"nonexistent" | b"-" => None,
        digits => Some(Md5::from_hex(digits).ok_or(Fault::Digest)?),
    };
    Ok(Conffile { path: path::absolute_file(&line[..digest_at])?, md5, obsolete, remove_on_upgrade })
}

fn without_mark<'a>(line: &'a [u8], mark: &[u8]) -> (&'a [u8], bool) {
    line.strip_suffix(mark).map_or((line, false), |rest| (rest, true))
}
