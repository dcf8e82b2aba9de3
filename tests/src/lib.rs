//! What the whole-system tests are made of; their simulators and the benchmark are binaries of this crate.
//!
//! Nothing of the product may depend on it: it stands above all other crates.
#![forbid(unsafe_code)]

pub mod bench;
pub mod lab;
pub mod site;
pub mod ti;
pub mod workshop;
