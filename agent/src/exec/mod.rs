//! Watching executions in detect mode.
//!
//! The way of an event: the reader takes it from the kernel and puts it on a bounded queue; the witness captures process and
//! path at once and answers what is already known; workers read what is not; each outcome is judged and, when it matters to
//! people, put on disk by the recorder. The group is of the notification class: whatever happens here, nothing on the host is
//! delayed or denied. [`coverage`] says which filesystems are seen and which are not.

mod cold;
pub mod coverage;
mod deferred;
mod executable;
pub mod history;
pub mod location;
pub mod mount;
mod outcome;
pub mod process;
mod queue;
mod reader;
mod record;
mod remark;
mod running;
mod watch;
mod witness;

pub use history::History;
pub use outcome::SettledByPackage;
pub use running::processes_of;
pub(crate) use watch::monotonic_ms;
pub use watch::{Counters, Setup, Watch};
