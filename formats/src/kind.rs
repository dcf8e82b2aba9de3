//! What a file is, by its content alone, for whoever decides whether it is worth digesting and judging. Decided in
//! steps of rising cost: four bytes refuse nearly all that is no candidate, the head settles most of the rest,
//! [`Format::confirm`] seeks for what is left. A kind is what the kernel or a loader would make of the file, so exactly
//! one holds: a file that starts with `#!` is a script whatever archive is appended to it.

use std::io::{self, Read, Seek};

use doorward_policy::FileKind;

use crate::elf::{self, Elf, ElfRole};
use crate::script::{self, Script};
use crate::source::{Head, Paged, Source, Stop};
use crate::{bytecode, jar, pe};

/// Bytes [`may_be_candidate`] wants to see; fewer only when the file has fewer.
pub const FIRST_BYTES: usize = 4;

/// Bytes [`Kind::of_head`] wants to see; fewer are taken to be the whole file.
pub const HEAD_BYTES: usize = 4096;

/// A format that can be executed or loaded, with what its own header says. Whatever has no kind (text, data, object
/// files, core dumps, static archives) is not a candidate.
///
/// A plain text without `#!` has no kind either: the kernel refuses it, and the shell that then reads it as a script
/// does so by an ordinary open, which is the business of whoever watches opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A program or shared object.
    Elf(Elf),
    /// A text the kernel hands to the interpreter named in its first line.
    Script(Script),
    /// A Windows or EFI image with its `PE` signature in place; DOS programs are not.
    Pe {
        /// Marked as a library in its file header.
        dll: bool,
    },
    /// A zip archive from which Java would load classes.
    Jar,
    /// A relocatable ELF object the kernel would take as a module.
    KernelModule,
    /// A `.pyc` by its magic number, of any Python since 1.5 or PyPy.
    PythonBytecode,
}

/// What the head of a file allows to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guess {
    /// Not a candidate, however the file goes on.
    Not,
    /// Settled, however the file goes on.
    Certain(Kind),
    /// Open until this format's reader has seen more of the file.
    NeedsMore(Format),
}

/// A reader that may have to seek.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Segment or section headers, or the interpreter's path, lie outside the head.
    Elf,
    /// The `PE` signature lies outside the head.
    Pe,
    /// What a zip archive holds stands at its end. May be asked of any file, not only when a head suggests it: Java
    /// accepts an archive behind any other bytes, so ask for names [`named_like_jar`](crate::named_like_jar) and for
    /// whatever a Java launcher opens.
    Zip,
}

/// Whether any kind can begin with these bytes. Costs a few comparisons; on a usual system it lets through the candidates
/// and, of 100 other files, two (object files and archives). `first` is the first [`FIRST_BYTES`] of the file, or all of
/// a shorter file.
#[must_use]
pub fn may_be_candidate(first: &[u8]) -> bool {
    first.starts_with(script::MAGIC)
        || first.starts_with(elf::MAGIC)
        || first.starts_with(pe::MAGIC)
        || jar::starts_like_zip(first)
        || bytecode::has_magic(first)
}

impl Kind {
    /// Decides from the first [`HEAD_BYTES`] of a file, or all of a shorter file.
    #[must_use]
    pub fn of_head(head: &[u8]) -> Guess {
        if head.starts_with(script::MAGIC) {
            return script::read(head).map_or(Guess::Not, |script| Guess::Certain(Self::Script(script)));
        }
        if bytecode::has_magic(head) {
            return Guess::Certain(Self::PythonBytecode);
        }
        let format = if head.starts_with(elf::MAGIC) {
            Format::Elf
        } else if head.starts_with(pe::MAGIC) {
            Format::Pe
        } else if jar::starts_like_zip(head) {
            Format::Zip
        } else {
            return Guess::Not;
        };
        match format.read(&mut Head(head)) {
            Ok(Some(kind)) => Guess::Certain(kind),
            Ok(None) => Guess::Not,
            Err(Stop::BeyondHead | Stop::Io(_)) => Guess::NeedsMore(format),
        }
    }

    /// Decides from a whole file, for callers that do not keep heads; leaves the file at an unspecified position.
    ///
    /// # Errors
    /// The file's own error when it cannot be read or sought.
    pub fn of_file(file: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        file.rewind()?;
        file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        match Self::of_head(&head) {
            Guess::Not => Ok(None),
            Guess::Certain(kind) => Ok(Some(kind)),
            Guess::NeedsMore(format) => format.confirm(file),
        }
    }

    /// The kind as judging and counting know it.
    #[must_use]
    pub const fn file_kind(&self) -> FileKind {
        match self {
            Self::Elf(Elf { role: ElfRole::Executable, .. }) => FileKind::ElfExecutable,
            Self::Elf(Elf { role: ElfRole::Library, .. }) => FileKind::ElfLibrary,
            Self::Script(_) => FileKind::Script,
            Self::Pe { .. } => FileKind::Pe,
            Self::Jar => FileKind::Jar,
            Self::KernelModule => FileKind::KernelModule,
            Self::PythonBytecode => FileKind::PythonBytecode,
        }
    }

    /// The kind's word on the wire and in stores, which never changes: `elf_executable`, `elf_library`, `script`, `pe`,
    /// `jar`, `kernel_module`, `python_bytecode`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        self.file_kind().word()
    }
}

impl Format {
    /// Settles what the head left open. Reads the magic again, so a file that changed in between is judged by what it
    /// is now; `None` when it is no candidate. Leaves the file at an unspecified position.
    ///
    /// # Errors
    /// The file's own error when it cannot be read or sought; the file is then neither a candidate nor cleared.
    pub fn confirm(self, file: &mut (impl Read + Seek)) -> io::Result<Option<Kind>> {
        match self.read(&mut Paged::new(file)) {
            Ok(kind) => Ok(kind),
            Err(Stop::Io(error)) => Err(error),
            Err(Stop::BeyondHead) => Err(io::Error::other("a whole file has nothing behind its head")),
        }
    }

    fn read(self, source: &mut impl Source) -> Result<Option<Kind>, Stop> {
        match self {
            Self::Elf => elf::read(source),
            Self::Pe => pe::read(source),
            Self::Zip => jar::read(source),
        }
    }
}
