//! How hosts become known: the keys that say who this CMS is, the tokens that let a host in, and the certificates hosts get.
//!
//! A host's way: [`token`] (made by a person) -> [`service`] (first contact, over TLS without a client certificate) -> [`certify`]
//! signs -> the store keeps the host -> `uplink`. Keys are files or systemd credentials, never rows; of a token only a hash is kept.

pub mod certify;
pub mod keys;
mod private_file;
pub mod service;
pub mod throttle;
pub mod token;

pub use keys::{Keys, KeysError};
pub use token::{MintedToken, mint_token, secret_hash};
