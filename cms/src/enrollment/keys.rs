//! The two secrets of a CMS: the CA's key (who may be a host) and the policy key (what hosts believe). Whoever loses one enrolls the
//! fleet anew; whoever leaks one gives the fleet away.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_proto::certificate::{Authority, AuthorityPem, CertificateError, ca_key_hash};
use doorward_proto::snapshot::{KeyError, PolicySigner};

use super::private_file::{self, NewFiles};

/// What the CA calls itself; shown to people who look into certificates.
const CA_NAME: &str = "Doorward CA";

pub(crate) const CA_CERTIFICATE: &str = "ca/ca.pem";
pub(crate) const CA_KEY: &str = "ca/ca.key";
pub(crate) const POLICY_KEY: &str = "policy.key";

/// Name of the CA key among systemd credentials.
pub const CA_KEY_CREDENTIAL: &str = "ca.key";

/// Name of the policy key among systemd credentials.
pub const POLICY_KEY_CREDENTIAL: &str = "policy.key";

/// Why there are no keys. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// `init` never writes over keys: the fleet would be lost.
    #[error("{path} exists; this CMS is initialised already. To start anew, move its whole state folder away first", path = path.display())]
    Exists {
        /// What was found.
        path: PathBuf,
    },
    /// A file or folder that cannot be read or made.
    #[error("{path}: {source}; check that `doorward-cms init` was run and that the service's user owns the state folder", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could read the key, so it may be known to them.
    #[error("{path} can be read by others; run `chmod 600` on it and ask yourself who did", path = path.display())]
    OpenToOthers {
        /// The key.
        path: PathBuf,
    },
    /// The CA's files are damaged or do not belong together.
    #[error("the CA in {path} cannot be used: {source}", path = path.display())]
    Authority {
        /// Where its certificate is.
        path: PathBuf,
        /// What is wrong.
        source: CertificateError,
    },
    /// The policy key file is damaged.
    #[error("the policy key in {path} cannot be used: {source}", path = path.display())]
    Policy {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

/// Both keys, ready to sign. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    authority: Arc<Authority>,
    signer: Arc<PolicySigner>,
    ca_key_hash: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Makes both keys below `state_dir`, readable by their owner alone. Takes over nothing: all files are new or nothing is done.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn create(state_dir: &Path, now: i64) -> Result<Self, KeysError> {
        let [certificate, ca_key, policy_key] = [CA_CERTIFICATE, CA_KEY, POLICY_KEY].map(|name| state_dir.join(name));
        if let Some(path) = [&certificate, &ca_key, &policy_key].into_iter().find(|path| path.exists()) {
            return Err(KeysError::Exists { path: path.clone() });
        }
        let authority = Authority::create(CA_NAME, now).map_err(|source| KeysError::Authority { path: certificate.clone(), source })?;
        let policy = PolicySigner::generate_pem().map_err(|source| KeysError::Policy { path: policy_key.clone(), source })?;

        let folder = state_dir.join("ca");
        private_file::folder(&folder).map_err(|source| KeysError::File { path: folder, source })?;
        let mut files = NewFiles::default();
        for (path, content, mode) in
            [(&certificate, &authority.certificate, 0o644), (&ca_key, &authority.key, 0o600), (&policy_key, &policy, 0o600)]
        {
            files.write(path, content, mode).map_err(|source| KeysError::File { path: path.clone(), source })?;
        }
        files.keep().map_err(|source| KeysError::File { path: state_dir.to_owned(), source })?;
        Self::load(state_dir, None)
    }

    /// Loads both keys. A key that `credentials` (systemd's folder, see `systemd.exec(5)`) holds is taken from there; the CA's
    /// certificate is public and always below `state_dir`.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn load(state_dir: &Path, credentials: Option<&Path>) -> Result<Self, KeysError> {
        let certificate = state_dir.join(CA_CERTIFICATE);
        let ca_key = secret(state_dir.join(CA_KEY), credentials, CA_KEY_CREDENTIAL)?;
        let policy_key = secret(state_dir.join(POLICY_KEY), credentials, POLICY_KEY_CREDENTIAL)?;
        let pem = AuthorityPem { certificate: read(&certificate)?, key: read(&ca_key)? };
        let bad = |source| KeysError::Authority { path: certificate.clone(), source };
        let authority = Authority::load(&pem).map_err(bad)?;
        let ca_key_hash = ca_key_hash(authority.certificate()).map_err(bad)?;
        let signer =
            PolicySigner::from_pem(&read(&policy_key)?).map_err(|source| KeysError::Policy { path: policy_key.clone(), source })?;
        Ok(Self { authority: Arc::new(authority), signer: Arc::new(signer), ca_key_hash })
    }

    /// Signs hosts' and this server's certificates.
    #[must_use]
    pub const fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Signs policies.
    #[must_use]
    pub const fn policy_signer(&self) -> &Arc<PolicySigner> {
        &self.signer
    }

    /// What tokens pin: SHA-256 of the CA's public key.
    #[must_use]
    pub const fn ca_key_hash(&self) -> [u8; 32] {
        self.ca_key_hash
    }
}

/// Where a secret is. Credentials are guarded by systemd; a file of ours must be closed to others.
fn secret(own: PathBuf, credentials: Option<&Path>, name: &str) -> Result<PathBuf, KeysError> {
    if let Some(credential) = credentials.map(|folder| folder.join(name)).filter(|path| path.exists()) {
        return Ok(credential);
    }
    match private_file::is_open_to_others(&own) {
        Ok(false) => Ok(own),
        Ok(true) => Err(KeysError::OpenToOthers { path: own }),
        Err(source) => Err(KeysError::File { path: own, source }),
    }
}

fn read(path: &Path) -> Result<String, KeysError> {
    private_file::read(path).map_err(|source| KeysError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: i64 = 1_790_000_000_000_000;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_made_once_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let state_dir = folder.path().join("state");
        let made = Keys::create(&state_dir, NOW).unwrap();
        let loaded = Keys::load(&state_dir, None).unwrap();
        assert_eq!(made.ca_key_hash(), loaded.ca_key_hash());
        assert_eq!(made.policy_signer().verifier().key(), loaded.policy_signer().verifier().key());
        assert_eq!([CA_KEY, POLICY_KEY].map(|name| mode(&state_dir.join(name))), [0o600, 0o600]);
        assert_eq!(mode(&state_dir.join("ca")), 0o700);
        assert!(matches!(Keys::create(&state_dir, NOW), Err(KeysError::Exists { .. })), "never over keys that are there");
    }

    #[test]
    fn a_making_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        // The policy key's place is taken by something no file can replace, found only when it is written.
        std::os::unix::fs::symlink("/nonexistent/target", folder.path().join(POLICY_KEY)).unwrap();
        assert!(matches!(Keys::create(folder.path(), NOW), Err(KeysError::File { .. })));
        assert!(!folder.path().join(CA_KEY).exists() && !folder.path().join(CA_CERTIFICATE).exists());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Keys::create(folder.path(), NOW).unwrap();
        for name in [CA_KEY, POLICY_KEY] {
            let path = folder.path().join(name);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(Keys::load(folder.path(), None), Err(KeysError::OpenToOthers { .. })), "{name}");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    #[test]
    fn systemd_credentials_come_before_files() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = tempfile::tempdir().unwrap();
        let made = Keys::create(folder.path(), NOW).unwrap();
        std::fs::rename(folder.path().join(CA_KEY), credentials.path().join(CA_KEY_CREDENTIAL)).unwrap();
        assert!(matches!(Keys::load(folder.path(), None), Err(KeysError::File { .. })));
        let loaded = Keys::load(folder.path(), Some(credentials.path())).unwrap();
        assert_eq!(loaded.ca_key_hash(), made.ca_key_hash());
    }

    #[test]
    fn damaged_or_mixed_up_files_are_named() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Keys::create(one.path(), NOW).unwrap();
        Keys::create(other.path(), NOW).unwrap();
        std::fs::copy(other.path().join(CA_KEY), one.path().join(CA_KEY)).unwrap();
        assert!(matches!(Keys::load(one.path(), None), Err(KeysError::Authority { source: CertificateError::KeyMismatch, .. })));
        std::fs::write(other.path().join(POLICY_KEY), "no key").unwrap();
        assert!(matches!(Keys::load(other.path(), None), Err(KeysError::Policy { .. })));
    }

    #[test]
    fn debug_output_holds_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::create(folder.path(), NOW).unwrap();
        assert_eq!(format!("{keys:?}"), "Keys { .. }");
    }
}
