//! Why a signature gives no facts, or none that count.

use std::fmt;

use doorward_policy::Flaw;
use serde::{Deserialize, Serialize};

use crate::source::Stop;

/// The place a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The image's headers.
    ImageHeaders,
    /// The image's table of certificates.
    CertificateTable,
    /// The zip archive.
    Archive,
    /// `META-INF/MANIFEST.MF`.
    Manifest,
    /// A `.SF` file.
    SignatureFile,
    /// What stands behind a kernel module.
    ModuleTrailer,
    /// The `security.ima` attribute.
    ImaAttribute,
    /// The PKCS#7 structure.
    SignedData,
    /// A certificate.
    Certificate,
    /// A time stamp.
    TimeStamp,
    /// The file as a whole.
    File,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageHeaders => "the image's headers",
            Self::CertificateTable => "the image's certificate table",
            Self::Archive => "the archive",
            Self::Manifest => "the manifest",
            Self::SignatureFile => "the signature file",
            Self::ModuleTrailer => "the module's trailer",
            Self::ImaAttribute => "the IMA attribute",
            Self::SignedData => "the PKCS#7 structure",
            Self::Certificate => "a certificate",
            Self::TimeStamp => "the time stamp",
            Self::File => "the file",
        })
    }
}

/// Why nothing, or nothing that counts, is known of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// There is none.
    #[error("not signed")]
    Unsigned,
    /// Not what its format allows, or cut short.
    #[error("{0} cannot be read as what it claims to be")]
    Malformed(Part),
    /// A limit of this reader was passed.
    #[error("{0} is larger than this program reads")]
    TooLarge(Part),
    /// A form or an algorithm that this reader does not know.
    #[error("{0} is of a form this program does not read")]
    Unsupported(Part),
    /// The content is not what was signed.
    #[error("{0} is not what was signed")]
    Altered(Part),
    /// Something in the file is covered by no signature.
    #[error("{0} holds something the signature does not cover")]
    Incomplete(Part),
    /// Two readers would make different things of it.
    #[error("{0} can be taken for something the signature does not speak of")]
    Ambiguous(Part),
    /// MD5 or SHA-1.
    #[error("{0} is signed with MD5 or SHA-1, which prove nothing any more")]
    Weak(Part),
    /// The file could not be read, or the time was over.
    #[error("the file could not be read to its end in time")]
    Unread,
}

impl Fault {
    /// The flaw it is in evidence; `None` when there is no signature at all.
    #[must_use]
    pub const fn flaw(self) -> Option<Flaw> {
        Some(match self {
            Self::Unsigned => return None,
            Self::Malformed(_) => Flaw::Malformed,
            Self::TooLarge(_) => Flaw::TooLarge,
            Self::Unsupported(_) => Flaw::Unsupported,
            Self::Altered(_) => Flaw::Altered,
            Self::Incomplete(_) => Flaw::Incomplete,
            Self::Ambiguous(_) => Flaw::Ambiguous,
            Self::Weak(_) => Flaw::Weak,
            Self::Unread => Flaw::Unread,
        })
    }
}

impl From<Stop> for Fault {
    fn from(_: Stop) -> Self {
        Self::Unread
    }
}
