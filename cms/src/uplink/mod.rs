//! The CMS's side of the stream to every host: who is at the other end, what they report, what they are to know.
//!
//! A connection's way: [`acceptor`] (TLS, bounds) -> [`service`] (who it is, hello) -> [`session`] (reports in, everything else out).
//! Beside it: [`place`] (one stream a host, clones), [`dispatch`] (wake-ups to sessions), [`watch`] (hosts that fell silent).
//! The host is who its certificate says; nothing in a message names one. A slow host slows itself and nobody else.

mod acceptor;
mod alive;
mod crowd;
mod dispatch;
mod nudge;
mod place;
mod renewal;
mod server;
mod service;
mod session;
mod settings;
mod tally;
mod watch;
mod wire;

pub use place::Sessions;
pub use server::{BindError, ServeError, Server};
pub use settings::Settings;
pub use tally::Tally;
pub use wire::Peer;
