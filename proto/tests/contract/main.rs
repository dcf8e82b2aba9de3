//! The contract seen from outside: what crosses the wire, what is refused, and that nothing hostile gets further than a refusal.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, their tables and their helpers fail by panicking")]

mod certificate;
mod delta;
mod file;
mod limit;
mod policy;
mod round_trip;
mod sample;
mod snapshot;
mod strategy;
mod tls;
mod token;
mod version_rule;
mod word;
