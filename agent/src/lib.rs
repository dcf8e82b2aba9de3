//! Doorward's host daemon, as a library that the thin binary and the system tests share.
//!
//! A file's way is the way through these folders: [`exec`] or `scan` meets it, [`identify`] names it, [`trust`] says who vouches for
//! it, [`judge`] asks the policy crate, what stays unresolved goes to `pending` and through `uplink` to the central management server.
//! [`run`] ties them together and reads as the daemon's story. Unsafe code lives in [`system`] and nowhere else.
#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod control;
pub mod credential;
pub mod exec;
pub mod facts;
pub mod health;
pub mod identify;
pub mod judge;
pub mod list;
pub mod pending;
pub mod run;
pub mod sandbox;
pub mod scan;
pub mod system;
pub mod trust;
pub mod uplink;
