//! Who vouches for a file at a path: dpkg's database, at [`Level::Database`](doorward_policy::Level), which whoever is root could have
//! edited, and the [`Ledger`] of what the agent itself saw in archives of a [`repository`], at level `Signed`.
//!
//! [`PackageTrust`] is one generation: immutable, compact, swapped whole by [`Trust`], which keeps the old one for as long
//! as the new one is not complete. [`Watch`] notices changes; [`verify`] checks every packaged file. Nothing here opens the
//! files it vouches for, but for [`verify`], and nothing decides: evidence goes to the policy crate.
//!
//! Python bytecode gets no trust of its own yet: a `.pyc` counts when a package lists it, and like any unknown file when it
//! was compiled on the host, even beside a trusted source.

mod claims;
mod current;
mod database;
#[cfg(test)]
pub(crate) mod fixture;
pub mod ledger;
mod package_trust;
mod problem;
mod read;
pub mod repository;
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
pub use problem::{Problems, TrustError};
pub use transaction::{transaction_holder, transaction_is_open};
pub use watch::Watch;
pub use witness::{Witness, Witnessed};
