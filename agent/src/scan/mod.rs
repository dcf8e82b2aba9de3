//! Meets every file there is: walks local file systems on all cores, identifies candidates, asks trust and lists, and hands
//! over what neither settles.
//!
//! [`Scan`] is the way in; `plan` says which mounts are walked, `walk` how folders are shared out, `worker` what becomes of
//! one file. A scan follows no symbolic link, opens nothing but regular files, leaves mounts that a dead server could
//! freeze alone, and counts whatever it skips. It can be killed at any moment: what it learnt is in the identity store, and
//! unresolved files are handed over again next time. It reports nothing itself and decides nothing: that is its caller's.

mod inventory;
mod judge;
mod locality;
mod plan;
mod progress;
mod queue;
mod run;
mod summary;
#[cfg(test)]
mod tests;
mod walk;
mod worker;

pub use inventory::SourceCount;
pub use judge::{ByPackage, Judge, Settled};
pub use plan::{Options, Uncovered};
pub use progress::{Cancel, Progress, Reading};
pub use run::{Finding, Scan, ScanError, Sink};
pub use summary::Summary;
