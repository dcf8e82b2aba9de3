//! What goes between the CMS and others, told over the real thing: hosts over mutual TLS on loopback, and a provider of threat
//! intelligence that says what the story needs. The database is real and in a temporary folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod admission;
mod clone;
mod engine;
mod enrollment;
mod identity;
mod malformed;
mod policy;
mod report;
mod restore;
mod steadfast;
#[allow(dead_code, reason = "shared with the stories of the store; each uses its part")]
#[path = "../story/support/mod.rs"]
mod story;
mod support;
