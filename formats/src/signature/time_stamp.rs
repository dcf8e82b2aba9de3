//! Time stamps on a signature: tokens of RFC 3161, and the counter-signatures Windows used before.

use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::Tag;

use super::cms::{Content, Signed, SignedData, SignerInfo};
use super::der::{self, Element};
use super::digest::{self, DigestAlgorithm};
use super::fault::{Fault, Part};
use super::oid;

/// An authority's word that a signature was there at a moment; the faults of its signers say when it speaks of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeStamp {
    /// Seconds since 1970, UTC.
    pub at: i64,
    /// The authority's own signature. Its certificates may lie beside those of the signature that is stamped.
    pub signed: Signed,
}

/// All of a signer that can be read; the others prove nothing, and a signature does without.
pub(super) fn read(signer: &SignerInfo<'_>) -> Vec<TimeStamp> {
    let read = |(kind, value)| match kind {
        oid::COUNTER_SIGNATURE => counter_signature(value, signer.signature()),
        _ => token(value, signer.signature()),
    };
    signer.stamps().into_iter().filter_map(|stamp| read(stamp).ok()).collect()
}

fn token(value: Element<'_>, signature: &[u8]) -> Result<TimeStamp, Fault> {
    let (data, _) = SignedData::read(value.whole)?;
    if data.content_type != oid::TIME_STAMP_INFO {
        return Err(Fault::Malformed(Part::TimeStamp));
    }
    let info = data.content.filter(|content| content.is(Tag::OctetString)).ok_or(Fault::Malformed(Part::TimeStamp))?;
    let stamped = Info::read(&info)?;
    let content = Content {
        content_type: Some(oid::TIME_STAMP_INFO),
        digest: &|algorithm| Some(algorithm.digest(info.content)),
        part: Part::TimeStamp,
    };
    let mut signed = data.bare_facts(&content)?;
    if stamped.algorithm.digest(signature) != stamped.imprint {
        signed.signers.iter_mut().for_each(|signer| signer.fault = Some(Fault::Altered(Part::TimeStamp)));
    }
    Ok(TimeStamp { at: stamped.at, signed })
}

/// Certificates of the one who counter-signed are those of the outer structure.
fn counter_signature(value: Element<'_>, signature: &[u8]) -> Result<TimeStamp, Fault> {
    let info = SignerInfo::read(value)?;
    let at = info.signed(oid::SIGNING_TIME)?.and_then(|time| der::time(&time)).ok_or(Fault::Malformed(Part::TimeStamp))?;
    let content = Content { content_type: None, digest: &|algorithm| Some(algorithm.digest(signature)), part: Part::TimeStamp };
    Ok(TimeStamp { at, signed: Signed { certificates: Vec::new(), signers: vec![info.bare_facts(&content)?] } })
}

/// `TSTInfo`, as far as it matters.
struct Info<'a> {
    algorithm: DigestAlgorithm,
    imprint: &'a [u8],
    at: i64,
}

impl<'a> Info<'a> {
    fn read(content: &Element<'a>) -> Result<Self, Fault> {
        let mut info = content.inside(Part::TimeStamp).sequence()?;
        info.expect(Tag::Integer)?;
        info.oid()?;
        let mut imprint = info.sequence()?;
        let (algorithm, _) = der::algorithm(&mut imprint)?;
        let unusable = if digest::is_weak(algorithm) { Fault::Weak(Part::TimeStamp) } else { Fault::Unsupported(Part::TimeStamp) };
        let algorithm = DigestAlgorithm::of(algorithm).ok_or(unusable)?;
        let imprint = imprint.expect(Tag::OctetString)?.content;
        info.expect(Tag::Integer)?;
        let at = der::time(&info.next()?).ok_or(Fault::Malformed(Part::TimeStamp))?;
        Ok(Self { algorithm, imprint, at })
    }
}
