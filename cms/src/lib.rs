//! The central management server (CMS): keeps what hosts report, asks threat intelligence about it, lets people and rules decide,
//! and hands the outcome back to every host. One binary, stateless beside its database.
//!
//! A report's way through the rooms: [`uplink`] -> [`store`] -> [`intel`] -> [`allowlist`] -> [`uplink`]. Beside the road: [`api`]
//! (the unix socket every command of [`cli`] talks to) and [`enrollment`] (keys, tokens). [`serve`] puts them together.
#![forbid(unsafe_code)]

pub mod allowlist;
pub mod api;
pub mod cli;
pub mod config;
pub mod enrollment;
pub mod incident;
pub mod intel;
mod lease;
pub mod lock;
pub mod profile;
pub mod serve;
pub mod signals;
pub mod store;
pub mod uplink;
