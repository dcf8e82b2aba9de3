//! What a file is by its content, as far as judging, showing and counting care.

use serde::{Deserialize, Serialize};

/// Kinds of content that can be executed or loaded; anything else is never a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// An ELF program, position-independent ones included.
    ElfExecutable,
    /// An ELF shared object that names no loader of its own.
    ElfLibrary,
    /// A text that starts with `#!` and an interpreter the kernel would start, or any text that an interpreter read in order to run it.
    Script,
    /// A Windows program or library.
    Pe,
    /// A Java archive.
    Jar,
    /// A Linux kernel module, signed or not.
    KernelModule,
    /// Compiled Python; trusted only beside its trusted, unchanged source.
    PythonBytecode,
}

impl FileKind {
    /// Every kind, in declaration order, for tables and filters.
    pub const ALL: [Self; 7] =
        [Self::ElfExecutable, Self::ElfLibrary, Self::Script, Self::Pe, Self::Jar, Self::KernelModule, Self::PythonBytecode];

    /// The kind's word in JSON, stores and listings.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ElfExecutable => "elf_executable",
            Self::ElfLibrary => "elf_library",
            Self::Script => "script",
            Self::Pe => "pe",
            Self::Jar => "jar",
            Self::KernelModule => "kernel_module",
            Self::PythonBytecode => "python_bytecode",
        }
    }

    /// Finds a kind by its word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}
