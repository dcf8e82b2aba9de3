//! Who vouches for a file: publishers by signature ([`publisher`]), and for a file at a path the databases of dpkg and rpm, at
//! [`Level::Database`](doorward_policy::Level), which whoever is root could have edited, and the [`Ledger`] of what the agent itself saw
//! in archives of a [`repository`], at level `Signed`. A host may have both databases.
//!
//! [`PackageTrust`] is one generation, a register for each manager: immutable, compact, swapped whole by [`Trust`], which keeps
//! the old one for as long as the new one is not complete. [`Watch`] notices changes; [`verify`] checks every packaged file. Nothing
//! here opens the files it vouches for, but for [`verify`], signed ones and the sources of bytecode ([`PackageTrust::compiled`]), and
//! nothing decides: evidence goes to the policy crate.

mod bytecode;
mod claims;
mod current;
mod database;
mod dpkg;
#[cfg(test)]
pub(crate) mod fixture;
pub mod ledger;
mod package_trust;
mod problem;
pub mod publisher;
mod read;
mod register;
pub mod repository;
pub(crate) mod rpm;
#[cfg(test)]
mod tests;
mod transaction;
mod unpacked;
pub mod verify;
mod watch;
mod witness;

pub use current::Trust;
pub use ledger::Ledger;
pub use package_trust::{Owner, PackageTrust};
pub use problem::{Problems, TrustError, Unread};
pub use publisher::{Haste, Publishers};
pub use transaction::{transaction_holders, transaction_is_open};
pub use watch::Watch;
pub use witness::{Witness, Witnessed};
