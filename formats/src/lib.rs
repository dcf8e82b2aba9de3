//! Readers of hostile bytes: what a file is ([`Kind`]), who signed it ([`signature`]), what the databases of dpkg ([`dpkg`]) and rpm
//! ([`rpm`]) say, what a package archive brings ([`deb`]), and who signed the index it stands in ([`apt`], [`openpgp`]). Bytes in (`&[u8]` or
//! `Read + Seek`), facts out. No file system, no clock, no threads; whoever calls opens the files and sets the deadlines.
//!
//! The promise, for any input whatever: no panic, no unbounded allocation (every size taken from the input has a named
//! limit), no unbounded walk, and no fact that the kernel, the loader or dpkg itself would not have read from the same
//! bytes. Where a limit is passed the answer errs towards "may be executed or loaded", never towards "harmless".
//! `fuzz/` at the top of the repository holds a target for each reader.
#![forbid(unsafe_code)]

pub mod apt;
mod bytecode;
pub mod compression;
pub mod deb;
mod deb822;
pub mod dpkg;
mod elf;
mod jar;
mod kind;
mod module;
pub mod openpgp;
mod pe;
pub mod rpm;
mod script;
pub mod signature;
mod source;

pub use bytecode::{BYTECODE_HEADER_BYTES, SourceStamp, bytecode_source};
pub use deb822::StanzaProblem;
pub use elf::{Elf, ElfClass, ElfRole, Needs};
pub use jar::named_like_jar;
pub use kind::{FIRST_BYTES, Format, Guess, HEAD_BYTES, Kind, may_be_candidate};
pub use module::named_like_compressed_module;
pub use script::{INTERPRETER_BYTES_MAX, Script};
