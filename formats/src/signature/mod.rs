//! Signatures of publishers in files that are judged: Authenticode in PE, signature blocks in JARs, PKCS#7 behind kernel modules,
//! and the IMA attribute. What was signed, by whose word, and whether the content agrees; never whether that signer counts.
//!
//! The public-key operation and the chain are the caller's: they need keys and anchors, which the process that reads hostile bytes
//! shall not hold. Everything here is a pure function of `Read + Seek` (or of a few bytes) with facts that can be sent on. Sizes,
//! counts and inflated bytes have named limits; a deadline is set by the reader that is passed in, whose errors end the work.
//!
//! Signed bytes are taken as they stand in the file and never encoded anew, so that what is verified is what is there.

mod authenticode;
mod certificate;
mod cms;
mod der;
mod digest;
mod fault;
mod ima;
mod jar;
mod module;
mod oid;
mod time_stamp;

use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

pub use certificate::{Certificate, KeyKind, PublicKey};
pub use cms::{Covered, SignatureKind, Signed, Signer, SignerId};
pub use digest::DigestAlgorithm;
pub use fault::{Fault, Part};
pub use ima::{IMA_BYTES_MAX, ImaSignature};
pub use time_stamp::TimeStamp;

use crate::source::Paged;

/// Certificates taken from one signature.
pub const CERTIFICATES_MAX: usize = 32;

/// Signers of one signature, and signatures of one file.
pub const SIGNERS_MAX: usize = 8;

/// Bytes of one certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a PKCS#7 structure. Page hashes make those of large images some hundred kilobytes long.
pub const SIGNED_DATA_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Formats that carry a publisher's signature inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// A Windows or EFI image.
    Pe,
    /// A Java archive.
    Jar,
    /// A kernel module as it lies in memory when the kernel takes it; compressed ones are not read.
    KernelModule,
}

impl Container {
    /// Reads every signature of a file, in the order in which it has them. Leaves the file at an unspecified position.
    ///
    /// # Errors
    /// [`Fault::Unsigned`] when there is none; any other fault says why none can count.
    pub fn signatures(self, file: &mut (impl Read + Seek)) -> Result<Vec<Signed>, Fault> {
        let mut source = Paged::new(file);
        match self {
            Self::Pe => authenticode::read(&mut source),
            Self::Jar => jar::read(&mut source),
            Self::KernelModule => module::read(&mut source),
        }
    }
}

/// Whether bytes that no signature covers hold the record Java finds an archive by.
fn holds_archive_end(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| window == b"PK\x05\x06")
}
