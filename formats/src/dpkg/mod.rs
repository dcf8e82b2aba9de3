//! dpkg's database under `/var/lib/dpkg`, read as dpkg itself reads it but without giving up at the first fault: every
//! reader is an iterator over borrowed facts in which a faulty line is a [`Problem`] with its number, to be counted, and
//! the next line goes on. Whole files come in as `&[u8]`; the caller bounds their size and says which file it was.
//!
//! Paths come out relative to the root (`usr/bin/ls`), as plain names between slashes: never absolute, empty, or with
//! a `..` in them, so joining one to any root stays below it. They are bytes, and anything but NUL and newline may be in
//! them. Two names for one file are made one by [`UsrMerge`] and [`Diversion::diverts`].

mod conffiles;
mod diversions;
mod line;
mod list;
mod md5sums;
mod package;
mod path;
mod problem;
mod state;
mod status;
mod usr_merge;

pub use conffiles::{Conffiles, DeclaredConffile};
pub use diversions::{Diversion, Diversions};
pub use list::List;
pub use md5sums::{Md5sums, Sum};
pub use package::{Conffile, MultiArch, Package, RecordedConffiles};
pub use path::PATH_BYTES_MAX;
pub(crate) use path::relative as relative_path;
pub use problem::{Fault, Problem};
pub use state::{Flag, State, Want};
pub use status::Status;
pub(crate) use status::{architecture, package_name, version};
pub use usr_merge::UsrMerge;
