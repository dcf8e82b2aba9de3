//! Signatures made by the tools publishers use, and real ones, from the file to the publisher that is named for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod anchors;
mod bench;
mod hostile;
mod image;
mod jar;
mod kernel;
mod real;
