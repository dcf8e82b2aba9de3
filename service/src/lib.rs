//! Plumbing both programs share: configuration fragments, logging, lifecycle, sd_notify, exit codes and the clock.
//!
//! Nothing here knows what Doorward is for. What only one of the programs needs does not belong here.
#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod exit;
pub mod lifecycle;
pub mod log;
pub mod notify;

pub use clock::Clock;
pub use exit::Exit;
pub use lifecycle::Lifecycle;
