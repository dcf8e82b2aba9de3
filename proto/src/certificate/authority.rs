//! The certificate authority (CA) of one CMS.

use doorward_policy::HostId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::key::requested_key;
use super::name::{ca_key_hash, host_name, parse};
use super::pem::chain_to_pem;
use super::{CA_DAYS, CertificateError, Validity};

/// `ub-common-name` of RFC 5280.
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Shown to people; only the alternative names count.
const SERVER_COMMON_NAME: &str = "doorward-cms";

/// Signs hosts' and servers' certificates.
pub struct Authority {
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A CA as it is kept in two files.
pub struct AuthorityPem {
    /// The self-signed certificate; public.
    pub certificate: String,
    /// The private key as PKCS#8; whoever has it can be any host.
    pub key: String,
}

/// What the CMS answers TLS with. Made anew at every start, so it is never written down.
pub struct ServerCredential {
    /// The leaf and the CA, in DER: a first contact finds the CA it pins in here.
    pub chain: Vec<Vec<u8>>,
    /// The private key as PKCS#8 DER.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a CA of this name (cut to the 64 bytes a common name has room for), valid from now for [`CA_DAYS`], and gives it as files for [`Authority::load`].
    ///
    /// # Errors
    /// [`CertificateError::Making`].
    pub fn create(name: &str, now: i64) -> Result<AuthorityPem, CertificateError> {
        let making = |_| CertificateError::Making("a CA");
        let key = new_key()?;
        let mut params = named(&name[..name.floor_char_boundary(COMMON_NAME_BYTES_MAX)]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let validity = Validity::days(now, CA_DAYS);
        validity.apply(&mut params);
        params.serial_number = Some(serial(&key, name, validity));
        let certificate = params.self_signed(&key).map_err(making)?;
        Ok(AuthorityPem { certificate: chain_to_pem([certificate.der()]), key: key.serialize_pem() })
    }

    /// Reads the two files.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] and [`CertificateError::KeyMismatch`].
    pub fn load(pem: &AuthorityPem) -> Result<Self, CertificateError> {
        let certificate =
            CertificateDer::from_pem_slice(pem.certificate.as_bytes()).map_err(|_| CertificateError::Malformed("CA certificate"))?;
        let key = KeyPair::from_pem(&pem.key).map_err(|_| CertificateError::Malformed("CA key"))?;
        if parse(&certificate)?.public_key().raw != key.subject_public_key_info() {
            return Err(CertificateError::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| CertificateError::Malformed("CA certificate"))?;
        Ok(Self { certificate: certificate.to_vec(), issuer })
    }

    /// The CA certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What tokens pin; see [`ca_key_hash`].
    #[must_use]
    pub fn key_hash(&self) -> [u8; 32] {
        ca_key_hash(&self.certificate).expect("the CA certificate was parsed when it was loaded")
    }

    /// Signs a host's certificate for the key of a request (DER). Gives the chain in DER, leaf first, CA last.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], [`CertificateError::RequestSignature`], [`CertificateError::KeyAlgorithm`]: the host's fault.
    pub fn sign_host(&self, request: &[u8], host: &HostId, validity: Validity) -> Result<Vec<Vec<u8>>, CertificateError> {
        let key = requested_key(request)?;
        let name = host_name(host);
        let mut params = named(&host.to_string());
        params.subject_alt_names = vec![SanType::URI(name.as_str().try_into().expect("an id is ASCII"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign_leaf(params, &key, &name, validity)
    }

    /// Makes a key and signs a server certificate with these DNS names and addresses.
    ///
    /// # Errors
    /// [`CertificateError::ServerName`], [`CertificateError::NoServerName`], [`CertificateError::Making`].
    pub fn issue_server(&self, names: &[String], validity: Validity) -> Result<ServerCredential, CertificateError> {
        let first = names.first().ok_or(CertificateError::NoServerName)?;
        let key = new_key()?;
        let mut params = named(SERVER_COMMON_NAME);
        params.subject_alt_names = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let chain = self.sign_leaf(params, &key, first, validity)?;
        Ok(ServerCredential { chain, key: key.serialize_der() })
    }

    fn sign_leaf(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        name: &str,
        validity: Validity,
    ) -> Result<Vec<Vec<u8>>, CertificateError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        validity.apply(&mut params);
        params.serial_number = Some(serial(key, name, validity));
        let leaf = params.signed_by(key, &self.issuer).map_err(|_| CertificateError::Making("a certificate"))?;
        Ok(vec![leaf.der().to_vec(), self.certificate.clone()])
    }
}

/// Whether a server certificate can carry these names, as [`Authority::issue_server`] takes them.
///
/// # Errors
/// [`CertificateError::ServerName`] and [`CertificateError::NoServerName`].
pub fn check_server_names(names: &[String]) -> Result<(), CertificateError> {
    if names.is_empty() {
        return Err(CertificateError::NoServerName);
    }
    names.iter().try_for_each(|name| server_name(name).map(drop))
}

fn new_key() -> Result<KeyPair, CertificateError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| CertificateError::Making("a key"))
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// `localhost`, `cms.example` or an address; no wildcard.
fn server_name(name: &str) -> Result<SanType, CertificateError> {
    let wrong = || CertificateError::ServerName(name.to_owned());
    match rustls::pki_types::ServerName::try_from(name).map_err(|_| wrong())? {
        rustls::pki_types::ServerName::DnsName(name) => Ok(SanType::DnsName(name.as_ref().try_into().map_err(|_| wrong())?)),
        rustls::pki_types::ServerName::IpAddress(address) => Ok(SanType::IpAddress(std::net::IpAddr::from(address))),
        _ => Err(wrong()),
    }
}

/// A serial number of its own for every (key, name, validity): 127 bits of their SHA-256, so that no counter need be kept.
fn serial(key: &impl PublicKeyData, name: &str, validity: Validity) -> SerialNumber {
    let mut hasher = Sha256::new();
    hasher.update(key.subject_public_key_info());
    hasher.update(name);
    hasher.update(validity.not_before.to_be_bytes());
    hasher.update(validity.not_after.to_be_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let mut serial: [u8; 16] = *digest.first_chunk().expect("a digest is longer than a serial number");
    // Positive, and never zero in its first byte, whose encoding would differ.
    serial[0] = serial[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&serial)
}
