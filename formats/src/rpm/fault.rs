//! What can be wrong with a header or with a database that holds headers.

use std::io;

use super::header::HEADER_BYTES_MAX;

/// Why there is no fact. A faulty header costs one package, a faulty database everything behind the fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read, or ends before its own structure does.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Not the sizes, counts or offsets that any header has.
    #[error("not a header: {0}")]
    Header(&'static str),
    /// A tag holds another type of value than rpm would put there, or a value that runs out of the header.
    #[error("tag {0} holds no such value")]
    Tag(u32),
    /// Arrays about files that differ in length, or more files than any package has.
    #[error("the lists of files do not fit each other")]
    Files,
    /// A file's folder is not among the package's folders, or its path is none.
    #[error("file number {0} has no proper path")]
    Path(usize),
    /// Neither NDB nor a Berkeley DB hash, or of a version that nobody writes.
    #[error("not a database of rpm: {0}")]
    Database(&'static str),
    /// The pages, slots or blobs contradict each other: damaged, or caught in the middle of a change.
    #[error("the database contradicts itself: {0}")]
    Damaged(&'static str),
    /// Larger than any header.
    #[error("a header of more than {HEADER_BYTES_MAX} bytes")]
    TooLarge,
}
