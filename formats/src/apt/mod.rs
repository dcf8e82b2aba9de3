//! What apt keeps of its repositories: sources ([`Sources`]), signed Release files ([`Release`]), indexes of packages ([`Packages`]),
//! and what it tells hooks before it installs ([`archives_to_install`]). Text in, facts out; nothing here is believed before
//! [`openpgp`](crate::openpgp) has said who signed it.

mod date;
mod hook;
mod name;
mod packages;
mod release;
mod sources;

pub use hook::{HOOK_BYTES_MAX, archives_to_install};
pub use name::{index_file_name, release_file_name};
pub use packages::{IndexEntry, Packages};
pub use release::{Listed, Release, ReleaseProblem, StrongDigest};
pub use sources::{SignedBy, Source, SourceProblem, Sources, Trusted};
