//! `doorward-bench`: the project's figures beside those of tools and limits measured in the same call, in alternating order.
//!
//! Every measured round is a process of its own, ours and the peers' alike: timed from outside, from start to end, so that
//! neither inherits the other's memory; what is too small for that is repeated many times in one process, inside a lab. Nothing else in
//! the project depends on a time.

mod agent;
pub mod exec;
mod figure;
mod limit;
mod machine;
mod measure;
mod project;
pub mod round;
pub mod scan;
mod side;
mod spent;
pub mod trust;

pub use figure::{Figures, Row};
