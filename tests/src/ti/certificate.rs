//! The TLS identity: a CA made for the occasion and a server certificate for the loopback names, kept in a folder.
//!
//! A folder that already holds all three files is used as it is, so a restarted simulator keeps its CA, and a test can
//! bring certificates of its own. The CA's key is never written: nothing else can be signed by it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Names a client on the same machine may use.
const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// HTTP/1.1 alone: in HTTP/2 a cut body would be a reset stream, which is another fault.
const PROTOCOL: &[u8] = b"http/1.1";

/// Where the three PEM files lie.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// What clients are told to trust.
    pub(crate) ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Identity {
    /// Uses `ca.pem`, `server.pem` and `server.key` of the folder, or makes them; `address` joins the loopback names.
    pub(crate) fn in_folder(folder: &Path, address: IpAddr) -> Result<Self> {
        let identity = Self { ca: folder.join("ca.pem"), certificate: folder.join("server.pem"), key: folder.join("server.key") };
        // Written last, so that its presence means all three are whole.
        if !identity.ca.exists() {
            identity.make(address).with_context(|| format!("cannot make certificates in {}", folder.display()))?;
        }
        Ok(identity)
    }

    fn make(&self, address: IpAddr) -> Result<()> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        name(&mut authority, "Doorward threat-intelligence simulator CA");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut names: Vec<String> = LOOPBACK_NAMES.map(str::to_owned).into();
        if !names.contains(&address.to_string()) {
            names.push(address.to_string());
        }
        let mut server = CertificateParams::new(names)?;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Strict verifiers, Python's among them, refuse a chain without the identifier.
        server.use_authority_key_identifier_extension = true;
        name(&mut server, "Doorward threat-intelligence simulator");
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &authority)?;

        write_private(&self.key, key.serialize_pem().as_bytes())?;
        fs::write(&self.certificate, certificate.pem())?;
        fs::write(&self.ca, authority.pem())?;
        Ok(())
    }

    /// TLS 1.2 and 1.3, no client certificates.
    pub(crate) fn server_config(&self) -> Result<ServerConfig> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("cannot read the certificate {}", self.certificate.display()))?;
        let key = PrivateKeyDer::from_pem_file(&self.key).with_context(|| format!("cannot read the key {}", self.key.display()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("{} and its key do not fit", self.certificate.display()))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(config)
    }
}

fn name(params: &mut CertificateParams, common_name: &str) {
    params.distinguished_name.push(DnType::CommonName, common_name);
    // Fixed dates: a test whose clock is elsewhere still finds a valid certificate.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
}

/// Creates or replaces a file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_folder_keeps_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::in_folder(folder.path(), LOOPBACK).unwrap();
        let ca = fs::read(&first.ca).unwrap();
        first.server_config().unwrap();
        assert_eq!(fs::metadata(&first.key).unwrap().permissions().mode() & 0o777, 0o600);

        let second = Identity::in_folder(folder.path(), LOOPBACK).unwrap();
        assert_eq!(fs::read(&second.ca).unwrap(), ca);
        let other = tempfile::tempdir().unwrap();
        let stranger = Identity::in_folder(other.path(), LOOPBACK).unwrap();
        assert_ne!(fs::read(&stranger.ca).unwrap(), ca);
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::in_folder(folder.path(), LOOPBACK).unwrap();
        let stranger_key = KeyPair::generate().unwrap().serialize_pem();
        write_private(&identity.key, stranger_key.as_bytes()).unwrap();
        let error = format!("{:#}", identity.server_config().unwrap_err());
        assert!(error.contains("server.pem"), "{error}");
        fs::remove_file(&identity.key).unwrap();
        let error = format!("{:#}", identity.server_config().unwrap_err());
        assert!(error.contains("server.key"), "{error}");
    }
}
