//! Who vouches for a file at a path: today dpkg's database, at [`Level::Database`](doorward_policy::Level), which whoever is
//! root could have edited.
//!
//! [`PackageTrust`] is one generation: immutable, compact, swapped whole by [`Trust`], which keeps the old one for as long
//! as the new one is not complete. [`Watch`] notices changes; [`verify`] checks every packaged file. Nothing here opens the
//! files it vouches for, but for [`verify`] and the sources of bytecode ([`PackageTrust::compiled`]), and nothing decides: evidence
//! goes to the policy crate.

mod bytecode;
mod claims;
mod current;
mod database;
#[cfg(test)]
pub(crate) mod fixture;
mod package_trust;
mod problem;
mod read;
#[cfg(test)]
mod tests;
mod transaction;
mod unpacked;
pub mod verify;
mod watch;

pub use current::Trust;
pub use package_trust::{Owner, PackageTrust};
pub use problem::{Problems, TrustError};
pub use transaction::{transaction_holder, transaction_is_open};
pub use watch::Watch;
