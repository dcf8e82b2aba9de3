//! The published policy of a profile: records with a fixed byte layout, the root over them, the signature over the head, and the
//! only three ways a host comes to a policy: a whole snapshot ([`Assembler`]), a step ([`Policy::apply_delta`]) and its own file
//! ([`Policy::decode`]). Each of them either gives a policy that a policy key signed, or refuses and changes nothing.
//!
//! A record is 40 bytes: key (32, a file's SHA-256 or the SHA-256 of a source key's preimage), kind (1), scope (1), flags (6). Records
//! rise strictly by their first 34 bytes. The first byte of the key is the record's bucket; the root is
//! `BLAKE3("doorward/policy-root/v1" ‖ BLAKE3(bucket 0) ‖ … ‖ BLAKE3(bucket 255))`, each bucket hashed as the bytes of its records.
//! Where there are version rules, `‖ BLAKE3(their bytes)` follows the last bucket.

mod assemble;
mod delta;
mod file;
mod head;
mod key;
mod listing;
mod policy;
mod record;
mod refusal;
mod root;
mod version_rule;

pub use assemble::{Assembler, Part};
pub use delta::{Delta, REMOVAL_BYTES};
pub use head::{Head, Position, SignedHead};
pub use key::{KeyError, PolicySigner, PolicyVerifier};
pub use listing::FileListing;
pub use policy::Policy;
pub use record::{Record, RecordKind, RecordScope, source_record_key};
pub use refusal::Refusal;
pub use version_rule::{VersionRule, VersionRules};
