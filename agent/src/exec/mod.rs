//! Watching executions: in detect by a group that is only told of them, in protect by one that the kernel asks about each.
//!
//! The way of an event: the reader takes it from the kernel, answers at once what was judged before ([`warm`]), and puts the rest on a
//! bounded queue; the witness captures process and path and answers what is known by content; workers read what is not ([`cold`]);
//! each outcome is answered first ([`held`]), then judged for the record and, when it matters to people, put on disk by the recorder.
//! What waits for the CMS is [`parked`]; whoever is not answered in time is denied by the [`deadline`], however stuck the others are;
//! [`aftermath`] closes, marks and follows what was let through. In detect nobody waits: whatever happens here, nothing on the host is
//! delayed or denied. [`coverage`] says which filesystems are seen and which are not; what no mark sees the second [`sensor`] notices once it
//! has begun, and in protect what is denied is ended then.

mod aftermath;
mod cold;
pub mod coverage;
mod deadline;
mod deferred;
mod executable;
mod filesystem;
mod fresh;
mod guarded;
mod held;
pub mod history;
pub mod layer;
mod line;
mod load;
pub mod location;
mod maintainer;
pub mod mount;
mod opened;
mod opener;
mod outcome;
mod parked;
mod plain;
pub mod process;
mod queue;
mod quieting;
mod reader;
mod record;
mod remark;
mod runner;
mod running;
mod scope;
mod seen;
mod sensor;
mod threads;
mod turns;
pub(crate) mod walk;
mod warm;
mod watch;
mod witness;

pub use history::History;
pub use outcome::SettledBySource;
pub use runner::{IsToEnd, Runners};
pub use watch::{Counters, Setup, Watch};
pub(crate) use watch::{monotonic_ms, monotonic_ns};
