//! The uplink against a management server in this process: real TLS, real HTTP/2, and every answer chosen by the story.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod cms;
mod contract;
mod enrollment;
mod host;
mod policy;
mod reports;
mod standing;
mod talk;
