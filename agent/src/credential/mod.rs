//! Who this host is: its certificate and key, the CA it believes, the key that signs its policy, and how it came by them.
//!
//! [`enroll()`] gets them with a one-time token, [`load`] reads them, [`Credential::renew`] replaces certificate and key. Everything is
//! in one folder that appears whole or not at all, and readable by root alone. The uplink connects with it.

mod address;
mod enroll;
mod file;
#[cfg(test)]
mod tests;

pub use address::{CmsUrl, UrlError};
pub use enroll::{EnrollError, enroll};
pub use file::{Credential, CredentialError, load};
