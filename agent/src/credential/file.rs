//! The credential on disk: `identity.pem` (key and certificate chain, replaced together at renewal), `ca.pem`, and `host.json`
//! with what does not change.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use doorward_policy::{HostId, ProfileId};
use doorward_proto::certificate::{CertificateError, Validity, ca_key_hash, chain_from_pem, chain_to_pem, host_id_of};
use doorward_proto::snapshot::PolicyVerifier;
use doorward_proto::tls::{Identity, Now, TlsError, client_config};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use super::CmsUrl;
use crate::system::durable;

const IDENTITY_FILE: &str = "identity.pem";
const CA_FILE: &str = "ca.pem";
const HOST_FILE: &str = "host.json";

/// Only root reads keys.
const FILE_MODE: u32 = 0o600;

/// Largest of these files read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Who this host is.
#[derive(Clone)]
pub struct Credential {
    /// As the CMS named it.
    pub host_id: HostId,
    /// The profile it was enrolled into.
    pub profile_id: ProfileId,
    /// That profile's name, for people.
    pub profile: String,
    /// Where its CMS is.
    pub cms: CmsUrl,
    /// SHA-256 of the CA's key.
    pub ca_key_hash: [u8; 32],
    /// Ed25519 key that signs policies.
    pub policy_key: [u8; 32],
    /// Microseconds since 1970, UTC.
    pub enrolled_at: i64,
    /// Certificate of the CA, DER.
    pub(super) ca: Vec<u8>,
    /// Chain and key, PEM.
    pub(super) identity: String,
}

/// Why a credential cannot be used. All of them are for root on this host.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file of it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file of it cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file of it is not what it was.
    #[error("{} is damaged ({reason}); remove the folder and enroll again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostFile {
    host_id: HostId,
    profile_id: ProfileId,
    profile: String,
    cms: String,
    policy_key: String,
    enrolled_at: i64,
}

/// Reads the credential in a folder; `None` when the host was never enrolled.
///
/// # Errors
/// [`CredentialError`] when it is there and cannot be used.
pub fn load(folder: &Path) -> Result<Option<Credential>, CredentialError> {
    if !folder.try_exists().map_err(|source| CredentialError::Read { path: folder.to_owned(), source })? {
        return Ok(None);
    }
    let damaged = |file: &str, reason: String| CredentialError::Damaged { path: folder.join(file), reason };
    let host: HostFile = serde_json::from_str(&read(folder, HOST_FILE)?).map_err(|error| damaged(HOST_FILE, error.to_string()))?;
    let ca = chain_from_pem(&read(folder, CA_FILE)?).map_err(|error| damaged(CA_FILE, error.to_string()))?;
    let ca = ca.into_iter().next().ok_or_else(|| damaged(CA_FILE, "no certificate".into()))?;
    let identity = read(folder, IDENTITY_FILE)?;
    Identity::from_pem(&identity, &identity).map_err(|error| damaged(IDENTITY_FILE, error.to_string()))?;
    let policy_key = HEXLOWER.decode(host.policy_key.as_bytes()).ok().and_then(|key| <[u8; 32]>::try_from(key).ok());
    Ok(Some(Credential {
        host_id: host.host_id,
        profile_id: host.profile_id,
        profile: host.profile,
        cms: host.cms.parse().map_err(|error: super::UrlError| damaged(HOST_FILE, error.to_string()))?,
        ca_key_hash: ca_key_hash(&ca).map_err(|error| damaged(CA_FILE, error.to_string()))?,
        policy_key: policy_key.ok_or_else(|| damaged(HOST_FILE, "the policy key is not 64 hexadecimal digits".into()))?,
        enrolled_at: host.enrolled_at,
        ca,
        identity,
    }))
}

fn read(folder: &Path, file: &str) -> Result<String, CredentialError> {
    let path = folder.join(file);
    let failed = |source| CredentialError::Read { path: path.clone(), source };
    if fs::metadata(&path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(CredentialError::Damaged { path, reason: format!("larger than {FILE_BYTES_MAX} bytes") });
    }
    fs::read_to_string(&path).map_err(failed)
}

impl fmt::Debug for Credential {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("host_id", &self.host_id).field("cms", &self.cms).finish_non_exhaustive()
    }
}

impl Credential {
    /// What policies of this host must be signed with.
    #[must_use]
    pub fn policy_verifier(&self) -> PolicyVerifier {
        PolicyVerifier::new(self.policy_key)
    }

    /// TLS settings for connections as this host.
    ///
    /// # Errors
    /// When certificate and key do not fit together.
    pub fn tls(&self, now: Now) -> Result<ClientConfig, TlsError> {
        client_config(Identity::from_pem(&self.identity, &self.identity)?, &self.ca, now)
    }

    /// When the certificate holds.
    ///
    /// # Errors
    /// When it cannot be read, which it could when it was loaded.
    pub fn validity(&self) -> Result<Validity, CertificateError> {
        let chain = chain_from_pem(&self.identity)?;
        Validity::of(chain.first().map_or(&[], Vec::as_slice))
    }

    /// The same host with a fresh key and certificate chain (DER, leaf first), on disk when it returns.
    ///
    /// # Errors
    /// [`CredentialError`]; the old certificate is then still there.
    pub fn renew(&self, folder: &Path, key_pem: &str, chain: &[impl AsRef<[u8]>]) -> Result<Self, CredentialError> {
        let path = folder.join(IDENTITY_FILE);
        let damaged = |reason: String| CredentialError::Damaged { path: path.clone(), reason };
        let renewed = Self { identity: identity_pem(key_pem, chain), ..self.clone() };
        let leaf = chain.first().map_or(&[][..], AsRef::as_ref);
        if host_id_of(leaf).map_err(|error| damaged(error.to_string()))? != self.host_id {
            return Err(damaged("the renewed certificate is another host's".into()));
        }
        // Whether key and certificate belong together has nothing to do with the time.
        renewed.tls(Now::new(|| 0)).map_err(|error| damaged(error.to_string()))?;
        durable::replace(&path, renewed.identity.as_bytes(), FILE_MODE).map_err(|source| CredentialError::Write { path, source })?;
        Ok(renewed)
    }

    /// Writes everything into a folder beside and moves that into place, so that a kill leaves all of it or none.
    pub(super) fn store(&self, folder: &Path) -> Result<(), CredentialError> {
        let growing = durable::growing(folder);
        let failed = |source| CredentialError::Write { path: folder.to_owned(), source };
        let host = HostFile {
            host_id: self.host_id,
            profile_id: self.profile_id,
            profile: self.profile.clone(),
            cms: self.cms.to_string(),
            policy_key: HEXLOWER.encode(&self.policy_key),
            enrolled_at: self.enrolled_at,
        };
        let host = serde_json::to_vec_pretty(&host).map_err(|error| failed(error.into()))?;
        match fs::remove_dir_all(&growing) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        private_folder(&growing).map_err(failed)?;
        for (file, content) in
            [(IDENTITY_FILE, self.identity.as_bytes()), (CA_FILE, chain_to_pem([&self.ca]).as_bytes()), (HOST_FILE, &host)]
        {
            durable::write(&growing.join(file), content, FILE_MODE).map_err(failed)?;
        }
        durable::sync_folder(&growing.join(HOST_FILE)).map_err(failed)?;
        fs::rename(&growing, folder).map_err(failed)?;
        durable::sync_folder(folder).map_err(failed)
    }
}

/// Key and chain in one text, which one rename replaces.
pub(super) fn identity_pem(key_pem: &str, chain: &[impl AsRef<[u8]>]) -> String {
    format!("{}\n{}", key_pem.trim_end(), chain_to_pem(chain))
}

fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
