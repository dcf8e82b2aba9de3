//! OpenPGP signatures and the keys that made them, judged more strictly than the `pgp` crate does by itself: it checks the
//! arithmetic, what counts is decided here.
//!
//! A signature counts when it is made with SHA-2 or SHA-3 of 256 bits or more, by RSA of 2048 bits or more, ECDSA or EdDSA; when its
//! key is a primary key that signs, or a subkey that both bound themselves to each other; and when at the given moment neither is
//! expired or revoked. Bindings and certifications are held to the same hashes. A revocation counts whatever its hash.

mod certificate;
mod cleartext;
mod keyring;
mod refusal;
mod verify;

pub use cleartext::split as split_cleartext;
pub use keyring::{CERTIFICATES_MAX, KEYRING_BYTES_MAX, KeySummary, Keyring, KeyringProblem};
pub use refusal::{Fault, Refusal};
pub use verify::{Signed, verify_cleartext, verify_detached};
