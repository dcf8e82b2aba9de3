//! What a host proved about where a file comes from, and how the profile's lists stand towards that source.
//! Evidence belongs to an observation, never to a file: another host may hold the same bytes without any proof.

use serde::{Deserialize, Serialize};

use crate::{Flaw, Sha256};

/// Longest package, publisher, version or origin name kept, in bytes.
pub const SOURCE_NAME_BYTES_MAX: usize = 255;

/// Names of a publisher's chain that are kept.
pub const CHAIN_NAMES_MAX: usize = 8;

/// The database a package comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageManager {
    /// Debian's.
    Dpkg,
    /// Red Hat's and SUSE's.
    Rpm,
}

impl PackageManager {
    /// The manager's word on wires, in stores and inside [`SourceKey`] preimages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Rpm => "rpm",
        }
    }
}

/// How much stands behind package evidence; a profile can require the higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The package manager's local database says so; whoever is root could have edited it.
    Database,
    /// The agent itself saw the file's digest in an archive signed by a key that counts.
    Signed,
}

/// Whether the file is what the package put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Its digest is the one the package lists for this path.
    Match,
    /// The package lists another digest for this path: somebody changed the file.
    Modified,
    /// The package owns the path and lists no digest for it.
    NoDigest,
    /// Bytecode that says it was compiled from a source beside it whose digest is the one the package lists, where only root can write.
    /// That it is what compiling that source gives, nobody showed: it counts for no more than the local database does.
    Compiled,
}

/// A package that claims the path a file was met at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PackageEvidence {
    /// Which database says so.
    pub manager: PackageManager,
    /// The package's name, with its architecture as the manager writes it where several can be installed.
    pub name: String,
    /// The installed version, in the manager's own notation.
    pub version: String,
    /// Vendor or repository as far as the database tells; empty when it does not.
    pub origin: String,
    /// How much stands behind it.
    pub level: Level,
    /// Whether the content agrees.
    pub fit: Fit,
}

/// The form of a publisher's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// PE signed in the Authenticode manner.
    Authenticode,
    /// JAR with a signature block.
    Jar,
    /// Kernel module with an appended signature.
    KernelModule,
    /// `security.ima` extended attribute.
    Ima,
    /// OpenPGP, detached or by way of a package's header.
    Pgp,
}

/// When a certificate holds, in microseconds since 1970, UTC, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Validity {
    /// First moment.
    pub from: i64,
    /// Last moment.
    pub until: i64,
}

/// A publisher whose signature was found on a file, and what became of checking it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublisherEvidence {
    /// The form of the signature.
    pub signing: Signing,
    /// Name in the signer's certificate or key; shown to people, never compared.
    pub name: String,
    /// SHA-256 of the signing certificate or key: what lists name.
    pub fingerprint: Sha256,
    /// The signature covers these very bytes and is this publisher's.
    pub valid: bool,
    /// The chain ends at an anchor the profile trusts.
    pub chain_trusted: bool,
    /// The chain ends at a public certificate authority, which vouches for a name and not for a vendor.
    pub public_authority: bool,
    /// Why it does not count, when it does not.
    #[serde(default)]
    pub flaw: Option<Flaw>,
    /// When it was signed, by a time stamp that counts, in microseconds since 1970, UTC. What signers say themselves is not kept.
    #[serde(default)]
    pub signed_at: Option<i64>,
    /// When the signing certificate holds; a bare key has no end.
    #[serde(default)]
    pub validity: Option<Validity>,
    /// Names above the signer's, up to that of the anchor; at most [`CHAIN_NAMES_MAX`].
    #[serde(default)]
    pub chain: Vec<String>,
}

/// Everything a host proved about one file at one path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The package that owns the path, if one does.
    pub package: Option<PackageEvidence>,
    /// The publisher that signed the content, if one did.
    pub publisher: Option<PublisherEvidence>,
}

/// How the published lists stand towards a source (a package or a publisher).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Named by no list: new to this profile.
    #[default]
    Unlisted,
    /// Allowed by name.
    Allowed,
    /// Explicitly not allowed, in any scope that applies: all its files are threats.
    Denied,
}

/// The part of a profile that says which evidence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustRules {
    /// Package evidence below this level settles nothing.
    pub package_level: Level,
    /// Packages on no list count.
    pub allow_new_packages: bool,
    /// Publishers on no list count, unless they merely chain to a public authority.
    pub allow_new_publishers: bool,
}

impl Default for TrustRules {
    fn default() -> Self {
        Self { package_level: Level::Database, allow_new_packages: true, allow_new_publishers: false }
    }
}

impl TrustRules {
    /// Whether package evidence settles a file's trust: right bytes, wanted source, enough proof.
    #[must_use]
    pub fn accepts_package(&self, package: &PackageEvidence, listing: Listing) -> bool {
        let wanted = match listing {
            Listing::Denied => false,
            Listing::Allowed => true,
            Listing::Unlisted => self.allow_new_packages,
        };
        let level = match package.fit {
            Fit::Match => package.level,
            Fit::Compiled => Level::Database,
            Fit::Modified | Fit::NoDigest => return false,
        };
        wanted && level >= self.package_level
    }

    /// Whether publisher evidence settles a file's trust.
    #[must_use]
    pub fn accepts_publisher(&self, publisher: &PublisherEvidence, listing: Listing) -> bool {
        let wanted = match listing {
            Listing::Denied => false,
            Listing::Allowed => true,
            Listing::Unlisted => self.allow_new_publishers && !publisher.public_authority,
        };
        wanted && publisher.valid && publisher.chain_trusted
    }
}

/// The text whose SHA-256 is a source's key in policy records; it cannot be mistaken for another source's.
///
/// Names are joined with NUL, which none of them can hold: `doorward/package/v1 NUL manager NUL name` or
/// `doorward/publisher/v1 NUL fingerprint`. The digest itself is taken where there is a hash function: in `proto`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceKey(Vec<u8>);

impl SourceKey {
    /// The key of a package, whatever its version.
    #[must_use]
    pub fn package(manager: PackageManager, name: &str) -> Self {
        Self([b"doorward/package/v1", manager.word().as_bytes(), name.as_bytes()].join(&0))
    }

    /// The key of a publisher.
    #[must_use]
    pub fn publisher(fingerprint: &Sha256) -> Self {
        Self([b"doorward/publisher/v1".as_slice(), fingerprint.as_bytes()].join(&0))
    }

    /// The bytes to digest.
    #[must_use]
    pub fn preimage(&self) -> &[u8] {
        &self.0
    }
}
