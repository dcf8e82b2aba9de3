//! Anchors: certificates and keys in files a site sets. Which folder a file lies in says what it may vouch for.
//!
//! | folder | what lies there | what it means |
//! |---|---|---|
//! | `anchors.d` | the site's own authorities, signers' certificates and bare keys | whoever they vouch for is trusted |
//! | `public.d` | public certificate authorities | they vouch for names; a publisher counts once he is allowed |
//! | `time.d` | time-stamping authorities | they say when something was signed, and vouch for no code |

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use doorward_formats::signature::{Certificate, PublicKey, SignerId};
use doorward_policy::Sha256;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, TrustAnchor};

/// Files read of one folder.
const FILES_MAX: usize = 1024;

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Certificates and keys of one folder.
const ANCHORS_MAX: usize = 4096;

const SITE: &str = "anchors.d";
const PUBLIC: &str = "public.d";
const TIME: &str = "time.d";

/// Why a file gives no anchor.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct AnchorError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: AnchorFault,
}

/// What is wrong with a file of anchors.
#[derive(Debug, thiserror::Error)]
pub enum AnchorFault {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Somebody other than root could have put anything there.
    #[error("can be written by somebody other than root; nothing in it counts")]
    Writable,
    /// Neither PEM nor DER of a certificate or a public key.
    #[error("holds something that is neither a certificate nor a public key")]
    Form,
    /// More than is read.
    #[error("is larger, or one of more files or certificates, than is read")]
    TooMany,
}

/// Certificates that may end a chain, each with what it says of itself.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) trust: Vec<TrustAnchor<'static>>,
    /// In the order of `trust`.
    names: Vec<String>,
    pub(super) certificates: Vec<(Vec<u8>, Certificate)>,
}

/// A key that may sign by itself, without a certificate of somebody else.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// For people.
    pub(super) name: String,
    /// Of the certificate, or of the bare key.
    pub(super) fingerprint: Sha256,
    pub(super) key: PublicKey,
    /// Identifiers by which signatures may name it: the certificate's, and SHA-1 of the key.
    pub(super) ids: Vec<Vec<u8>>,
    pub(super) validity: Option<(i64, i64)>,
}

/// One reading of all folders. Immutable.
#[derive(Debug, Default)]
pub struct Anchors {
    stamp: Vec<Stamp>,
    pub(super) site: Set,
    pub(super) public: Set,
    pub(super) time: Set,
    pub(super) keys: Vec<Key>,
}

/// How a file looked, so that a change is noticed.
type Stamp = (Vec<u8>, u64, i64, i64, u64);

impl Anchors {
    pub(super) fn read(folder: &Path) -> (Self, Vec<AnchorError>) {
        let mut errors = Vec::new();
        let mut anchors = Self { stamp: stamp(folder), ..Self::default() };
        for (name, set) in [(SITE, &mut anchors.site), (PUBLIC, &mut anchors.public), (TIME, &mut anchors.time)] {
            let keys = (name == SITE).then_some(&mut anchors.keys);
            set.read(&folder.join(name), keys, &mut errors);
        }
        (anchors, errors)
    }

    pub(super) fn stamp(&self) -> &[Stamp] {
        &self.stamp
    }

    /// Whether a key may sign by itself, as signatures without certificates need.
    pub(super) const fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The certificate of a signer that did not bring it along.
    pub(super) fn certificate(&self, id: &SignerId) -> Option<&(Vec<u8>, Certificate)> {
        self.site.certificates.iter().find(|(_, certificate)| certificate.is(id))
    }

    /// Certificates and keys that count, for `status` and the log.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len() + self.public.certificates.len() + self.time.certificates.len()
    }

    /// Whether nobody set any.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Set {
    pub(super) fn name(&self, anchor: &TrustAnchor<'_>) -> Option<&str> {
        let at = self.trust.iter().position(|known| known == anchor)?;
        self.names.get(at).map(String::as_str)
    }

    /// Whether this very certificate was set.
    pub(super) fn holds(&self, der: &[u8]) -> bool {
        self.certificates.iter().any(|(known, _)| known == der)
    }

    fn read(&mut self, folder: &Path, mut keys: Option<&mut Vec<Key>>, errors: &mut Vec<AnchorError>) {
        for path in files(folder, errors) {
            let outcome =
                contents(&path).and_then(|items| items.into_iter().try_for_each(|item| self.add(&path, item, keys.as_deref_mut())));
            if let Err(fault) = outcome {
                errors.push(AnchorError { path, fault });
            }
        }
    }

    fn add(&mut self, path: &Path, item: Item, keys: Option<&mut Vec<Key>>) -> Result<(), AnchorFault> {
        if self.certificates.len() >= ANCHORS_MAX || keys.as_ref().is_some_and(|keys| keys.len() >= ANCHORS_MAX) {
            return Err(AnchorFault::TooMany);
        }
        match item {
            Item::Certificate(der) => {
                let certificate = Certificate::read(&der).map_err(|_| AnchorFault::Form)?;
                keys.into_iter().for_each(|keys| keys.push(Key::of_certificate(&der, &certificate)));
                // One that is no authority is still good for what it signs itself.
                if let Ok(anchor) = webpki::anchor_from_trusted_cert(&CertificateDer::from(der.as_slice())) {
                    self.trust.push(anchor.to_owned());
                    self.names.push(certificate.name.clone());
                }
                self.certificates.push((der, certificate));
            }
            Item::Key(der) => {
                let key = PublicKey::read(&der).map_err(|_| AnchorFault::Form)?;
                // Nothing but a signer can be a bare key.
                let keys = keys.ok_or(AnchorFault::Form)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                keys.push(Key { name, fingerprint: sha256(&der), ids: vec![sha1(&key.bytes)], key, validity: None });
            }
        }
        Ok(())
    }
}

impl Key {
    fn of_certificate(der: &[u8], certificate: &Certificate) -> Self {
        Self {
            name: certificate.name.clone(),
            fingerprint: sha256(der),
            ids: certificate.key_id.iter().cloned().chain([sha1(&certificate.key.bytes)]).collect(),
            key: certificate.key.clone(),
            validity: Some((certificate.not_before, certificate.not_after)),
        }
    }
}

/// DER of one anchor.
enum Item {
    Certificate(Vec<u8>),
    Key(Vec<u8>),
}

/// Everything in a file, in PEM or DER.
fn contents(path: &Path) -> Result<Vec<Item>, AnchorFault> {
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !is_of_root(&metadata) {
        return Err(AnchorFault::Writable);
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(AnchorFault::TooMany);
    }
    const PEM: &[u8] = b"-----BEGIN ";
    if !bytes.windows(PEM.len()).any(|window| window == PEM) {
        return Ok(vec![if Certificate::read(&bytes).is_ok() { Item::Certificate(bytes) } else { Item::Key(bytes) }]);
    }
    let items: Result<Vec<_>, _> = Section::pem_slice_iter(&bytes).collect();
    let items = items.map_err(|_| AnchorFault::Form)?;
    let items = items.into_iter().map(|Section(kind, der)| match kind {
        SectionKind::Certificate => Ok(Item::Certificate(der)),
        SectionKind::PublicKey => Ok(Item::Key(der)),
        _ => Err(AnchorFault::Form),
    });
    items.collect()
}

/// Any section of a PEM file.
struct Section(SectionKind, Vec<u8>);

impl PemObject for Section {
    fn from_pem(kind: SectionKind, der: Vec<u8>) -> Option<Self> {
        Some(Self(kind, der))
    }
}

/// The regular files of a folder, sorted; none when there is no such folder.
fn files(folder: &Path, errors: &mut Vec<AnchorError>) -> Vec<PathBuf> {
    let mut refuse = |fault| {
        errors.push(AnchorError { path: folder.to_owned(), fault });
        Vec::new()
    };
    let entries = match fs::metadata(folder).and_then(|metadata| Ok((metadata, fs::read_dir(folder)?))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return refuse(AnchorFault::Io(error)),
        Ok((metadata, _)) if !is_of_root(&metadata) => return refuse(AnchorFault::Writable),
        Ok((_, entries)) => entries,
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).take(FILES_MAX + 1).collect();
    paths.sort();
    if paths.len() > FILES_MAX {
        return refuse(AnchorFault::TooMany);
    }
    paths
}

/// Nobody but root, or the user this program runs as, can write it.
fn is_of_root(metadata: &fs::Metadata) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    (metadata.uid() == 0 || metadata.uid() == nix::unistd::geteuid().as_raw()) && metadata.mode() & OTHERS_WRITE == 0
}

/// What a change of the folders would change.
pub(super) fn stamp(folder: &Path) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for name in [SITE, PUBLIC, TIME] {
        let folder = folder.join(name);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let paths = entries.flatten().map(|entry| entry.path()).take(FILES_MAX + 1).chain([folder]);
        stamps.extend(paths.filter_map(|path| {
            let metadata = fs::metadata(&path).ok()?;
            Some((path.as_os_str().as_bytes().to_vec(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec(), metadata.len()))
        }));
    }
    stamps.sort();
    stamps
}

pub(super) fn sha256(bytes: &[u8]) -> Sha256 {
    let mut found = [0; Sha256::LEN];
    found.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Sha256::new(found)
}

/// Names keys and proves nothing.
fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}
