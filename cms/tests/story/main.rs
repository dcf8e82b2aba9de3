//! Stories of the CMS's store and allowlist, told on their public interfaces over a database in a temporary folder: what hosts report,
//! what threat intelligence says, what people decide, and what comes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what went wrong by panicking")]

mod decision;
mod evidence;
mod incident;
mod ingest;
mod lookup;
mod many;
mod marking;
mod publication;
mod publish;
mod source;
mod source_list;
mod support;
