//! PKCS#7 / CMS signed data: who signed what bytes. Strict DER, one level deep; what hangs below a time stamp is not looked at.

use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::Tag;

use super::der::{self, Element, Reader};
use super::digest::{self, DigestAlgorithm};
use super::fault::{Fault, Part};
use super::time_stamp::{self, TimeStamp};
use super::{CERTIFICATE_BYTES_MAX, CERTIFICATES_MAX, SIGNERS_MAX, oid};

/// Time stamps read of one signer.
const TIME_STAMPS_MAX: usize = 4;

/// Bytes of an issuer's name, a serial number or a key identifier.
const ID_BYTES_MAX: usize = 4096;

/// One signature structure of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// DER of every certificate that came with it, in its order; at most [`CERTIFICATES_MAX`](super::CERTIFICATES_MAX).
    pub certificates: Vec<Vec<u8>>,
    /// Everybody who signed; never empty, at most [`SIGNERS_MAX`](super::SIGNERS_MAX).
    pub signers: Vec<Signer>,
}

/// How a structure names the certificate of a signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignerId {
    /// DER of the issuer's name, and the bytes of the serial number.
    Serial {
        /// Issuer.
        issuer: Vec<u8>,
        /// Serial number.
        serial: Vec<u8>,
    },
    /// The subject key identifier.
    Key(Vec<u8>),
}

/// What a signature value was made over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Covered {
    /// These bytes, which name the content by its digest.
    Bytes(Vec<u8>),
    /// Content with this digest.
    Digest(Vec<u8>),
}

/// The form of a signature value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureKind {
    /// RSA with PKCS#1 v1.5 padding.
    RsaPkcs1,
    /// RSA-PSS with one digest throughout.
    RsaPss,
    /// ECDSA, in ASN.1.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

/// One signer's word on the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// Whose certificate to look for.
    pub id: SignerId,
    /// The digest it is made over.
    pub digest: DigestAlgorithm,
    /// How it is made.
    pub kind: SignatureKind,
    /// What it is over.
    pub covered: Covered,
    /// Its value.
    pub signature: Vec<u8>,
    /// Why it does not count for this content, whoever made it.
    pub fault: Option<Fault>,
    /// Time stamps on it that could be read. None was verified.
    pub times: Vec<TimeStamp>,
}

/// Signed data as it stands, before it is compared with any content.
pub(super) struct SignedData<'a> {
    pub(super) content_type: &'a [u8],
    pub(super) content: Option<Element<'a>>,
    certificates: Vec<&'a [u8]>,
    signers: Vec<SignerInfo<'a>>,
}

/// One signer as it stands.
pub(super) struct SignerInfo<'a> {
    id: SignerId,
    digest: &'a [u8],
    attributes: Option<Element<'a>>,
    algorithm: &'a [u8],
    parameters: Reader<'a>,
    signature: &'a [u8],
    unsigned: Option<Element<'a>>,
}

/// Where a signature's content is compared.
pub(super) struct Content<'a> {
    /// What the signed attributes must call it; `None` where they need not.
    pub(super) content_type: Option<&'a [u8]>,
    /// Its digest; `None` when it was not taken.
    pub(super) digest: &'a dyn Fn(DigestAlgorithm) -> Option<Vec<u8>>,
    /// What is altered when the digests differ.
    pub(super) part: Part,
}

impl<'a> SignedData<'a> {
    /// Reads one structure and gives what stands behind it.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let mut reader = Reader::new(bytes, Part::SignedData);
        let mut info = reader.sequence()?;
        if info.oid()? != oid::SIGNED_DATA {
            return Err(Fault::Unsupported(Part::SignedData));
        }
        let body = info.context(0)?.ok_or(info.fault())?;
        let mut body = body.inside(Part::SignedData).sequence()?;
        body.expect(Tag::Integer)?;
        body.set()?;
        let mut encapsulated = body.sequence()?;
        let content_type = encapsulated.oid()?;
        let content = encapsulated.context(0)?.map(|content| content.inside(Part::SignedData).next()).transpose()?;
        let certificates = body.context(0)?.map(|all| certificates(all.inside(Part::SignedData))).transpose()?.unwrap_or_default();
        body.context(1)?;
        let mut infos = body.set()?;
        let mut signers = Vec::new();
        while !infos.is_empty() {
            if signers.len() == SIGNERS_MAX {
                return Err(Fault::TooLarge(Part::SignedData));
            }
            signers.push(SignerInfo::read(infos.expect(Tag::Sequence)?)?);
        }
        if signers.is_empty() {
            return Err(Fault::Malformed(Part::SignedData));
        }
        Ok((Self { content_type, content, certificates, signers }, reader.rest()))
    }

    /// The strong digests its signers use.
    pub(super) fn digests(&self) -> impl Iterator<Item = DigestAlgorithm> + '_ {
        self.signers.iter().filter_map(|signer| DigestAlgorithm::of(signer.digest))
    }

    /// Signatures that Windows keeps in an attribute of this one; each is a structure of its own.
    pub(super) fn nested(&self) -> Result<Vec<&'a [u8]>, Fault> {
        let mut nested = Vec::new();
        for signer in &self.signers {
            for (kind, value) in signer.unsigned()? {
                if kind == oid::SPC_NESTED {
                    nested.push(value.whole);
                }
            }
        }
        Ok(nested)
    }

    /// Compares every signer's word with the content. A structure none of whose signers can be read is faulty as a whole.
    pub(super) fn facts(&self, content: &Content<'_>) -> Result<Signed, Fault> {
        self.each(|info| info.facts(content))
    }

    /// As [`Self::facts`], without time stamps on the signatures.
    pub(super) fn bare_facts(&self, content: &Content<'_>) -> Result<Signed, Fault> {
        self.each(|info| info.bare_facts(content))
    }

    fn each(&self, facts: impl Fn(&SignerInfo<'a>) -> Result<Signer, Fault>) -> Result<Signed, Fault> {
        let mut signers = Vec::new();
        let mut fault = Fault::Malformed(Part::SignedData);
        for info in &self.signers {
            match facts(info) {
                Ok(signer) => signers.push(signer),
                Err(found) => fault = found,
            }
        }
        if signers.is_empty() {
            return Err(fault);
        }
        Ok(Signed { certificates: self.certificates.iter().map(|certificate| certificate.to_vec()).collect(), signers })
    }
}

fn certificates<'a>(mut all: Reader<'a>) -> Result<Vec<&'a [u8]>, Fault> {
    let mut found = Vec::new();
    while !all.is_empty() {
        let element = all.next()?;
        // Other kinds (attribute certificates) carry other tags and prove nothing here.
        if !element.is(Tag::Sequence) || found.contains(&element.whole) {
            continue;
        }
        if found.len() == CERTIFICATES_MAX || element.whole.len() > CERTIFICATE_BYTES_MAX {
            return Err(Fault::TooLarge(Part::Certificate));
        }
        found.push(element.whole);
    }
    Ok(found)
}

impl<'a> SignerInfo<'a> {
    pub(super) fn read(element: Element<'a>) -> Result<Self, Fault> {
        let mut info = element.inside(Part::SignedData);
        info.expect(Tag::Integer)?;
        let id = match info.context(0)? {
            Some(key) => SignerId::Key(bounded(key.content)?),
            None => {
                let mut id = info.sequence()?;
                let issuer = bounded(id.expect(Tag::Sequence)?.whole)?;
                SignerId::Serial { issuer, serial: bounded(id.expect(Tag::Integer)?.content)? }
            }
        };
        let (digest, _) = der::algorithm(&mut info)?;
        let attributes = info.context(0)?;
        let (algorithm, parameters) = der::algorithm(&mut info)?;
        let signature = info.expect(Tag::OctetString)?.content;
        let unsigned = info.context(1)?;
        Ok(Self { id, digest, attributes, algorithm, parameters, signature, unsigned })
    }

    /// The bytes of the signature, which time stamps are made over.
    pub(super) const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    pub(super) fn facts(&self, content: &Content<'_>) -> Result<Signer, Fault> {
        let times = time_stamp::read(self);
        let mut signer = self.bare_facts(content)?;
        signer.times = times;
        Ok(signer)
    }

    /// As [`Self::facts`], without time stamps.
    pub(super) fn bare_facts(&self, content: &Content<'_>) -> Result<Signer, Fault> {
        let unusable = |oid| if digest::is_weak(oid) { Fault::Weak(Part::SignedData) } else { Fault::Unsupported(Part::SignedData) };
        let digest = DigestAlgorithm::of(self.digest).ok_or(unusable(self.digest))?;
        let kind = self.kind(digest)?.ok_or(unusable(self.algorithm))?;
        let found = (content.digest)(digest).ok_or(Fault::Unsupported(Part::SignedData))?;
        let (covered, fault) = match &self.attributes {
            None => (Covered::Digest(found), None),
            Some(attributes) => (Covered::Bytes(as_set(attributes.whole)), self.compare(content, &found).err()),
        };
        Ok(Signer { id: self.id.clone(), digest, kind, covered, signature: self.signature.to_vec(), fault, times: Vec::new() })
    }

    /// What the signed attributes say of the content, each exactly once.
    fn compare(&self, content: &Content<'_>, found: &[u8]) -> Result<(), Fault> {
        if let Some(wanted) = content.content_type
            && self.signed(oid::CONTENT_TYPE)?.is_none_or(|value| !value.is(Tag::Oid) || value.content != wanted)
        {
            return Err(Fault::Malformed(Part::SignedData));
        }
        let digest = self.signed(oid::MESSAGE_DIGEST)?.filter(|value| value.is(Tag::OctetString));
        match digest {
            None => Err(Fault::Malformed(Part::SignedData)),
            Some(digest) if digest.content == found => Ok(()),
            Some(_) => Err(Fault::Altered(content.part)),
        }
    }

    /// The only value of a signed attribute.
    pub(super) fn signed(&self, wanted: &[u8]) -> Result<Option<Element<'a>>, Fault> {
        let mut found = None;
        for (kind, value) in attributes(self.attributes)? {
            if kind == wanted && found.replace(value).is_some() {
                return Err(Fault::Malformed(Part::SignedData));
            }
        }
        Ok(found)
    }

    /// Attributes nobody signed.
    pub(super) fn unsigned(&self) -> Result<Vec<(&'a [u8], Element<'a>)>, Fault> {
        attributes(self.unsigned)
    }

    fn kind(&self, digest: DigestAlgorithm) -> Result<Option<SignatureKind>, Fault> {
        let only_with = |wanted, kind| (digest == wanted).then_some(kind);
        Ok(match self.algorithm {
            oid::RSA => Some(SignatureKind::RsaPkcs1),
            oid::SHA256_RSA => only_with(DigestAlgorithm::Sha256, SignatureKind::RsaPkcs1),
            oid::SHA384_RSA => only_with(DigestAlgorithm::Sha384, SignatureKind::RsaPkcs1),
            oid::SHA512_RSA => only_with(DigestAlgorithm::Sha512, SignatureKind::RsaPkcs1),
            oid::RSA_PSS => (self.pss_digest()? == Some(digest)).then_some(SignatureKind::RsaPss),
            oid::EC => Some(SignatureKind::Ecdsa),
            oid::SHA256_ECDSA => only_with(DigestAlgorithm::Sha256, SignatureKind::Ecdsa),
            oid::SHA384_ECDSA => only_with(DigestAlgorithm::Sha384, SignatureKind::Ecdsa),
            oid::SHA512_ECDSA => only_with(DigestAlgorithm::Sha512, SignatureKind::Ecdsa),
            oid::ED25519 => Some(SignatureKind::Ed25519),
            _ => None,
        })
    }

    /// SHA-1 when the parameters name none, which is then none.
    fn pss_digest(&self) -> Result<Option<DigestAlgorithm>, Fault> {
        let mut parameters = self.parameters;
        let Some(hash) = parameters.sequence()?.context(0)? else { return Ok(None) };
        let (hash, _) = der::algorithm(&mut hash.inside(Part::SignedData))?;
        Ok(DigestAlgorithm::of(hash))
    }

    /// Values of unsigned attributes that may hold time stamps, as many as are read.
    pub(super) fn stamps(&self) -> Vec<(&'a [u8], Element<'a>)> {
        let is_stamp = |kind: &[u8]| matches!(kind, oid::TIME_STAMP_TOKEN | oid::MS_TIME_STAMP_TOKEN | oid::COUNTER_SIGNATURE);
        self.unsigned().unwrap_or_default().into_iter().filter(|(kind, _)| is_stamp(kind)).take(TIME_STAMPS_MAX).collect()
    }
}

/// Every value with its attribute's kind; an attribute with several values comes several times.
fn attributes<'a>(set: Option<Element<'a>>) -> Result<Vec<(&'a [u8], Element<'a>)>, Fault> {
    let mut found = Vec::new();
    let Some(set) = set else { return Ok(found) };
    let mut set = set.inside(Part::SignedData);
    while !set.is_empty() {
        let mut attribute = set.sequence()?;
        let kind = attribute.oid()?;
        let mut values = attribute.set()?;
        while !values.is_empty() {
            found.push((kind, values.next()?));
        }
    }
    Ok(found)
}

/// Signed attributes are signed as the set they are, not under the tag they travel with.
fn as_set(whole: &[u8]) -> Vec<u8> {
    const SET: u8 = 0x31;
    let mut bytes = whole.to_vec();
    if let Some(tag) = bytes.first_mut() {
        *tag = SET;
    }
    bytes
}

fn bounded(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    if bytes.len() > ID_BYTES_MAX { Err(Fault::TooLarge(Part::SignedData)) } else { Ok(bytes.to_vec()) }
}
