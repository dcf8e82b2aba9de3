//! What is acknowledged is there afterwards: after kills, after power cuts, and around a full disk.
//!
//! Each story has a writer in a process of its own, which is this test binary again, and says what it was promised line by line.
//! `DOORWARD_TEST_LONG=1` tells the same stories for many more rounds. Stories that mount need root and skip loudly without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod full_disk;
mod image;
mod kill;
mod namespace;
mod power_cut;
mod story;
mod writer;
