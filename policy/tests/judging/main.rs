//! The decision core against its specification: tables of cases in `data/`, and properties that hold for every subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod managers;
mod properties;
mod support;
mod tables;
