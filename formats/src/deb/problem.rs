//! Why an archive proves nothing.

use std::io;

use super::tar::{ENTRIES_MAX, PATHS_BYTES_MAX};
use crate::compression::Unpacking;
use crate::deb822::StanzaProblem;

/// What is wrong with an archive, or what no honest one has.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The bytes could not be had.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// No Debian package at all.
    #[error("does not begin like a Debian package")]
    NotAnArchive,
    /// Members are not those of a package, in their order.
    #[error("its members are not debian-binary, control.tar and data.tar in this order")]
    Order,
    /// A header of the container is damaged, or there is no end of them.
    #[error("a header of its members is damaged")]
    Header,
    /// A format that dpkg would refuse too.
    #[error("its format is not version 2")]
    Version,
    /// Packed in a way that is not read, bzip2 and lzma among them.
    #[error("a member is packed in a way that is not read")]
    Compression,
    /// Damaged, or far larger than anything real.
    #[error("a member {0}")]
    Unpacking(#[from] Unpacking),
    /// A damaged tar archive, or one with what dpkg refuses.
    #[error("a tar archive in it has {0}")]
    Tar(&'static str),
    /// More files than any package has.
    #[error("a tar archive in it has more than {ENTRIES_MAX} entries or {PATHS_BYTES_MAX} bytes of names")]
    TooMany,
    /// An entry outside the root, or one whose name two readers could understand differently.
    #[error("it has a file whose name is no plain path below the root")]
    Path,
    /// Which of the two dpkg would leave in place is nobody's guess.
    #[error("it has a file twice")]
    Duplicate,
    /// The control file is damaged or lacks what names the package.
    #[error("its control file is missing, damaged or without a {0}")]
    Control(&'static str),
    /// As above, told by the reader of stanzas.
    #[error("its control file: {0}")]
    Stanza(#[from] StanzaProblem),
}
