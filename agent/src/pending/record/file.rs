//! Files, processes and evidence as they lie on disk: raw digest bytes, raw path bytes, own numbers for every word.

use doorward_policy::{
    Blake3, Evidence, FileKind, Fit, Flaw, Level, Md5, PackageEvidence, PackageManager, PathBytes, PublisherEvidence, Sha1, Sha256,
    Signing, Validity,
};
use doorward_proto::report::{FileFacts, Process};
use serde::{Deserialize, Serialize};

/// Declares the stored twin of an enum of words, with the two conversions. The order of the variants is the format.
macro_rules! stored_words {
    ($($(#[$doc:meta])* $stored:ident for $domain:ty { $($word:ident),+ $(,)? })+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub(in crate::pending) enum $stored { $($word),+ }

        impl From<$domain> for $stored {
            fn from(word: $domain) -> Self {
                match word { $(<$domain>::$word => Self::$word),+ }
            }
        }

        impl From<$stored> for $domain {
            fn from(word: $stored) -> Self {
                match word { $($stored::$word => Self::$word),+ }
            }
        }
    )+ };
}
pub(super) use stored_words;

stored_words! {
    KindWord for FileKind { ElfExecutable, ElfLibrary, Script, Pe, Jar, KernelModule, PythonBytecode }
    ManagerWord for PackageManager { Dpkg, Rpm }
    LevelWord for Level { Database, Signed }
    FitWord for Fit { Match, Modified, NoDigest, Compiled }
    SigningWord for Signing { Authenticode, Jar, KernelModule, Ima, Pgp }
    FlawWord for Flaw {
        Altered, BadSignature, Weak, Incomplete, Ambiguous, Malformed, Unsupported, TooLarge, Unread, UnknownKey, WrongUse, NoAnchor,
        BrokenChain, NotYetValid, Expired,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct StoredFile {
    pub(in crate::pending) sha256: [u8; 32],
    sha1: Option<[u8; 20]>,
    md5: Option<[u8; 16]>,
    blake3: Option<[u8; 32]>,
    size: u64,
    kind: KindWord,
    mode: u32,
    uid: u32,
    gid: u32,
    modified_at: i64,
    changed_at: i64,
}

impl From<FileFacts> for StoredFile {
    fn from(file: FileFacts) -> Self {
        Self {
            sha256: *file.sha256.as_bytes(),
            sha1: file.sha1.map(|digest| *digest.as_bytes()),
            md5: file.md5.map(|digest| *digest.as_bytes()),
            blake3: file.blake3.map(|digest| *digest.as_bytes()),
            size: file.size,
            kind: file.kind.into(),
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            modified_at: file.modified_at,
            changed_at: file.changed_at,
        }
    }
}

impl From<StoredFile> for FileFacts {
    fn from(file: StoredFile) -> Self {
        Self {
            sha256: Sha256::new(file.sha256),
            sha1: file.sha1.map(Sha1::new),
            md5: file.md5.map(Md5::new),
            blake3: file.blake3.map(Blake3::new),
            size: file.size,
            kind: file.kind.into(),
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            modified_at: file.modified_at,
            changed_at: file.changed_at,
        }
    }
}

/// Stands for a user that nobody could tell; the kernel gives this number to none.
const UID_UNKNOWN: u32 = u32::MAX;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct StoredProcess {
    pid: u32,
    start_ticks: u64,
    pub(in crate::pending) uid: u32,
    parent_pid: u32,
    parent_path: Option<Vec<u8>>,
    parent_sha256: Option<[u8; 32]>,
    container: Option<String>,
}

impl From<Process> for StoredProcess {
    fn from(process: Process) -> Self {
        Self {
            pid: process.pid,
            start_ticks: process.start_ticks,
            uid: process.uid.unwrap_or(UID_UNKNOWN),
            parent_pid: process.parent_pid,
            parent_path: process.parent_path.map(|path| path.as_bytes().to_vec()),
            parent_sha256: process.parent_sha256.map(|digest| *digest.as_bytes()),
            container: process.container,
        }
    }
}

impl From<StoredProcess> for Process {
    fn from(process: StoredProcess) -> Self {
        Self {
            pid: process.pid,
            start_ticks: process.start_ticks,
            uid: (process.uid != UID_UNKNOWN).then_some(process.uid),
            parent_pid: process.parent_pid,
            parent_path: process.parent_path.map(PathBytes::new),
            parent_sha256: process.parent_sha256.map(Sha256::new),
            container: process.container,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct StoredPackage {
    manager: ManagerWord,
    name: String,
    version: String,
    origin: String,
    level: LevelWord,
    fit: FitWord,
}

impl From<PackageEvidence> for StoredPackage {
    fn from(package: PackageEvidence) -> Self {
        let PackageEvidence { manager, name, version, origin, level, fit } = package;
        Self { manager: manager.into(), name, version, origin, level: level.into(), fit: fit.into() }
    }
}

impl From<StoredPackage> for PackageEvidence {
    fn from(package: StoredPackage) -> Self {
        let StoredPackage { manager, name, version, origin, level, fit } = package;
        Self { manager: manager.into(), name, version, origin, level: level.into(), fit: fit.into() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct StoredPublisher {
    signing: SigningWord,
    name: String,
    fingerprint: [u8; 32],
    valid: bool,
    chain_trusted: bool,
    public_authority: bool,
    flaw: Option<FlawWord>,
    signed_at: Option<i64>,
    validity: Option<(i64, i64)>,
    chain: Vec<String>,
}

impl From<PublisherEvidence> for StoredPublisher {
    fn from(publisher: PublisherEvidence) -> Self {
        let PublisherEvidence { signing, name, fingerprint, valid, chain_trusted, public_authority, flaw, signed_at, validity, chain } =
            publisher;
        Self {
            signing: signing.into(),
            name,
            fingerprint: *fingerprint.as_bytes(),
            valid,
            chain_trusted,
            public_authority,
            flaw: flaw.map(Into::into),
            signed_at,
            validity: validity.map(|Validity { from, until }| (from, until)),
            chain,
        }
    }
}

impl From<StoredPublisher> for PublisherEvidence {
    fn from(publisher: StoredPublisher) -> Self {
        let StoredPublisher { signing, name, fingerprint, valid, chain_trusted, public_authority, flaw, signed_at, validity, chain } =
            publisher;
        Self {
            signing: signing.into(),
            name,
            fingerprint: Sha256::new(fingerprint),
            valid,
            chain_trusted,
            public_authority,
            flaw: flaw.map(Into::into),
            signed_at,
            validity: validity.map(|(from, until)| Validity { from, until }),
            chain,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::pending) struct StoredEvidence {
    package: Option<StoredPackage>,
    publisher: Option<StoredPublisher>,
}

impl From<Evidence> for StoredEvidence {
    fn from(evidence: Evidence) -> Self {
        Self { package: evidence.package.map(Into::into), publisher: evidence.publisher.map(Into::into) }
    }
}

impl From<StoredEvidence> for Evidence {
    fn from(evidence: StoredEvidence) -> Self {
        Self { package: evidence.package.map(Into::into), publisher: evidence.publisher.map(Into::into) }
    }
}
