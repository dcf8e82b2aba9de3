//! The lab: a host of its own inside this machine, where an agent may hold executions without holding the machine.
//!
//! It has a root file system of its own (ext4 in a file, on a loop device) in a mount namespace of its own, with its own `/proc`,
//! `/tmp` and `/run`, so the only filesystems an agent in it can see and mark are the lab's. The test stays outside, on the machine's
//! root: it can be neither frozen nor denied, and reaches in through `doorward-lab`, whose own program file lies outside too.
//!
//! What must never happen is a mark on a filesystem of the machine. [`Namespace`](namespace) refuses to open when it can see one,
//! every agent is preceded by the same check, and a [`Warden`](warden) kills an agent that has such a mark all the same. No folder
//! of the machine may ever be bind-mounted into a lab: copy instead. The kernel tells an agent of the machine's processes, too: it is
//! told to look after those of the lab's [control group](control_group) alone.

pub mod alteration;
pub mod attack;
pub mod entrance;
pub mod passage;

mod agent;
mod canary;
mod control_group;
mod debian;
mod floor;
mod hindrance;
mod image;
mod minimal;
mod namespace;
mod package;
mod peer;
mod process;
mod repeat;
mod repository;
mod root;
mod starter;
mod warden;
mod way;
mod workload;

pub use agent::LabAgent;
pub use canary::Canary;
pub use hindrance::{ControlGroup, leave_descriptors, limit_descriptors};
pub use peer::Fapolicyd;
pub use process::{COMMAND_LIMIT, Ended, Process};
pub use repeat::{Repetition, Task};
pub use repository::{Packaged, Repository};
pub use root::Lab;
