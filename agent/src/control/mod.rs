//! The agent's unix socket: `status`, `why` and `scan` ask the running daemon through it.
//!
//! One request a connection, JSON lines both ways; an open file may come along with the request. Anybody on the host may ask what
//! changes nothing, only root what does, by the kernel's word on who the peer is. Requests are bounded in size, time and number,
//! per user too, so nobody can keep others from asking. [`why`] is the same code offline.

pub mod client;
pub mod connection;
pub mod protocol;
pub mod server;
pub mod status;
pub mod trust;
pub mod why;
