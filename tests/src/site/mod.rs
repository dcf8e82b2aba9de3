//! A whole site for a test: simulator, CMS and hosts, each program the real binary in a process of its own.
//!
//! Tests read like what happens at a customer's: `site.host("web-1").with_package(..).enrolled().running()`. Nothing here waits
//! for a fixed time: [`eventually`] looks again until its deadline.

mod cms;
mod host;
mod program;
mod wait;

pub(crate) use host::configuration;
pub(crate) use program::{answer, path};

pub use cms::Site;
pub use host::{Host, HostBuilder};
pub use program::{Program, sha256, unheard_of};
pub use wait::{PATIENCE, eventually, eventually_within};
