//! The threat-intelligence simulator: ReversingLabs TCA-0101 (file reputation) over TLS, answering from a small
//! data file, with faults and quota on demand and a control plane that says what was asked.
//!
//! One question's way is the way through the files: `endpoint` (TLS, bytes) -> `service` (account, question, fault,
//! limit, quota) -> `catalogue` -> `answer` -> `endpoint` again. `control` is the test's side door and `tally` its
//! memory. Deciding is free of I/O and clock; only `endpoint`, `control`, `certificate` and `simulator` touch the
//! system. Shapes follow the vendor's documentation; `tests/tests/ti_contract.rs` holds them to the vendor's own SDK.

mod account;
mod answer;
mod catalogue;
mod certificate;
mod checksum;
mod control;
mod distortion;
mod endpoint;
mod fault;
mod limit;
mod process;
mod question;
mod quota;
mod record;
mod refusal;
mod service;
mod simulator;
mod tally;
mod xml;

pub use checksum::{Checksum, ChecksumError, ChecksumKind};
pub use fault::{Fault, FaultKind};
pub use limit::Limit;
pub use process::{Process, Ready};
pub use record::{Classification, Cve, Record, RecordStatus};
pub use simulator::{Clock, Options, Simulator};
pub use tally::{KeptRequest, LastRequest, Stats};
