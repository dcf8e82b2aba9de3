//! rpm's database: package headers as it keeps them, and the two of its three file formats that are rpm's own or Berkeley
//! DB's. (The third is SQLite, which whoever calls opens.)
//!
//! A [`Header`] is taken apart without copying; [`Package`] and [`PackagedFile`] are what it says, as far as trust and the
//! inventory care. [`Ndb`] and [`Bdb`] give out headers one after the other from a file that may be seeked in.
//!
//! A header has a sealed part, the region that its signature covers, and entries that were added when it was installed.
//! What a package says of its files is read from the sealed part alone; only where they lie may have been changed later, by
//! a relocation.

mod bdb;
mod fault;
mod file;
mod header;
mod ndb;
mod package;
mod tag;

pub use bdb::Bdb;
pub use fault::Fault;
pub use file::{FileState, Files, PackagedFile};
pub use header::{HEADER_BYTES_MAX, Header, Sealed, Strings};
pub use ndb::Ndb;
pub use package::{FILES_MAX, Package};
