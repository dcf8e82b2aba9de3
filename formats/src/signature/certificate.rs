//! What a certificate says of itself. Nothing here is verified.

use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::fault::{Fault, Part};
use super::{CERTIFICATE_BYTES_MAX, SignerId, oid};

/// Longest name kept, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A public key, as verifying wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// What it is good for.
    pub kind: KeyKind,
    /// Content of the bit string: `RSAPublicKey`, an uncompressed point, or the key itself.
    pub bytes: Vec<u8>,
}

/// Kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// RSA of any length.
    Rsa,
    /// On the NIST curve of 256 bits.
    P256,
    /// Of 384 bits.
    P384,
    /// Of 521 bits.
    P521,
    /// Ed25519.
    Ed25519,
    /// DSA and whatever else; nothing made with it is verified.
    Other,
}

/// A certificate's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Common name, else organisation, else the whole subject; at most 255 bytes.
    pub name: String,
    /// DER of the subject.
    pub subject: Vec<u8>,
    /// DER of the issuer.
    pub issuer: Vec<u8>,
    /// The serial number's bytes.
    pub serial: Vec<u8>,
    /// Subject key identifier.
    pub key_id: Option<Vec<u8>>,
    /// Seconds since 1970, UTC.
    pub not_before: i64,
    /// Seconds since 1970, UTC.
    pub not_after: i64,
    /// Its key.
    pub key: PublicKey,
    /// It may sign, and code where it says what for; one that does not say may.
    pub signs_code: bool,
    /// It says that it may stamp time.
    pub stamps_time: bool,
}

impl Certificate {
    /// Reads a certificate that is nothing but one.
    ///
    /// # Errors
    /// [`Fault`], always of [`Part::Certificate`].
    pub fn read(der: &[u8]) -> Result<Self, Fault> {
        let malformed = Fault::Malformed(Part::Certificate);
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(Fault::TooLarge(Part::Certificate));
        }
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| malformed)?;
        if !rest.is_empty() {
            return Err(malformed);
        }
        let purposes = certificate.extended_key_usage().map_err(|_| malformed)?.map(|extension| extension.value);
        let usage = certificate.key_usage().map_err(|_| malformed)?.map(|extension| extension.value);
        let may_sign = usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation());
        Ok(Self {
            name: name(certificate.subject()),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            serial: certificate.raw_serial().to_vec(),
            key_id: key_id(&certificate),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            key: PublicKey::of(certificate.public_key()),
            signs_code: may_sign && purposes.is_none_or(|purposes| purposes.code_signing),
            stamps_time: may_sign && purposes.is_some_and(|purposes| purposes.time_stamping),
        })
    }

    /// Whether a signature that names its signer so names this one.
    #[must_use]
    pub fn is(&self, id: &SignerId) -> bool {
        match id {
            SignerId::Serial { issuer, serial } => (issuer, serial) == (&self.issuer, &self.serial),
            SignerId::Key(key) => self.key_id.as_ref() == Some(key),
        }
    }
}

impl PublicKey {
    /// Reads a bare `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`Fault`], always of [`Part::Certificate`].
    pub fn read(der: &[u8]) -> Result<Self, Fault> {
        let malformed = Fault::Malformed(Part::Certificate);
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(Fault::TooLarge(Part::Certificate));
        }
        let (rest, key) = SubjectPublicKeyInfo::from_der(der).map_err(|_| malformed)?;
        if rest.is_empty() { Ok(Self::of(&key)) } else { Err(malformed) }
    }

    fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let curve = key.algorithm.parameters.as_ref().map(|parameters| parameters.data);
        let kind = match (key.algorithm.algorithm.as_bytes(), curve) {
            (oid::RSA, _) => KeyKind::Rsa,
            (oid::EC, Some(oid::P256)) => KeyKind::P256,
            (oid::EC, Some(oid::P384)) => KeyKind::P384,
            (oid::EC, Some(oid::P521)) => KeyKind::P521,
            (oid::ED25519, _) => KeyKind::Ed25519,
            _ => KeyKind::Other,
        };
        Self { kind, bytes: key.subject_public_key.data.to_vec() }
    }
}

fn key_id(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0.to_vec()),
        _ => None,
    })
}

fn name(subject: &X509Name<'_>) -> String {
    let common = subject.iter_common_name().chain(subject.iter_organization()).find_map(|name| name.as_str().ok());
    let name = common.map_or_else(|| subject.to_string(), str::to_owned);
    name[..name.floor_char_boundary(NAME_BYTES_MAX)].to_owned()
}
