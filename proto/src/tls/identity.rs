//! A chain with its key: fixed for a host's connection, exchangeable under a running server.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{TlsError, provider};
use crate::certificate::{ServerCredential, chain_from_pem};

/// A host's chain and key.
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the two files a host keeps.
    ///
    /// # Errors
    /// [`TlsError::Certificate`], [`TlsError::Key`].
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, TlsError> {
        let chain = chain_from_pem(chain)?.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(TlsError::Key)?;
        Ok(Self { chain, key })
    }
}

/// What the server shows; [`ServerIdentity::replace`] changes it for connections to come.
pub struct ServerIdentity {
    current: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// Starts with this credential.
    ///
    /// # Errors
    /// [`TlsError::Identity`].
    pub fn new(credential: ServerCredential) -> Result<Self, TlsError> {
        Ok(Self { current: RwLock::new(Arc::new(certified(credential)?)) })
    }

    /// Shows another credential from now on.
    ///
    /// # Errors
    /// [`TlsError::Identity`]; the old credential stays.
    pub fn replace(&self, credential: ServerCredential) -> Result<(), TlsError> {
        let fresh = Arc::new(certified(credential)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn certified(credential: ServerCredential) -> Result<CertifiedKey, TlsError> {
    let chain = credential.chain.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(credential.key));
    CertifiedKey::from_der(chain, key, &provider()).map_err(TlsError::Identity)
}
