//! The only home of unsafe code in the agent, and of the system calls whose safe wrapper does not exist.
//!
//! Each submodule is small enough to be read whole: it turns what the kernel hands over into owned, bounded values and knows
//! nothing of files, trust or reports. Whatever nix already wraps safely is used directly where it is needed.

#[cfg(test)]
pub(crate) mod attempt;
pub mod connector;
pub mod durable;
pub mod entropy;
pub mod fsync;
pub mod glance;
pub mod group;
pub mod inheritance;
pub mod lease;
pub mod limit;
pub mod lock;
pub mod mapping;
pub mod memory;
pub mod passing;
pub mod priority;
pub mod process;
pub mod shared;
pub mod xattr;
