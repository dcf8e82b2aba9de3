//! The wire contract between hosts and the central management server (CMS), and everything both sides must agree on to the byte.
//!
//! [`v1`] is generated and stops at [`convert`]: inwards every message is parsed into the words of [`report`], [`uplink`] and
//! [`enrollment`] or refused, outwards everything fits the limits of [`limit`]. [`snapshot`] is the published policy (layout, root,
//! signature, delta, file form); [`certificate`], [`token`] and [`tls`] say who may talk to whom. Nothing here opens a socket or a
//! file or reads a clock.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod codec;
pub mod convert;
pub mod enrollment;
pub mod limit;
pub mod report;
pub mod snapshot;
pub mod tls;
pub mod token;
pub mod uplink;

/// Messages and services as prost and tonic generate them from `doorward/v1/*.proto`; committed, held fresh by `tests/fresh.rs`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
#[rustfmt::skip]
pub mod v1 {
    include!("generated/doorward.v1.rs");
}

pub use convert::ConvertError;
