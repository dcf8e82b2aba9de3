//! Whole-system stories: the real binaries, real TLS, real sled and SQLite, a simulator for the provider.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod decision;
mod enrollment;
mod execution;
mod full_disk;
mod intelligence;
mod kill;
mod publisher;
mod scan;
mod source;
