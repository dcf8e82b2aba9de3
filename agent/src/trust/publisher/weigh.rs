//! From the signatures of a file to the publisher that counts most.

use doorward_formats::signature::{Certificate, Fault, Signed, Signer, TimeStamp};
use doorward_policy::{PublisherEvidence, Signing, Validity};

use super::Finding;
use super::anchor::{self, Anchors};
use super::chain::{self, Chain, Purpose};
use super::key;

const MICROS: i64 = 1_000_000;

/// Weighs everything a file's reader came to, at `now` in microseconds since 1970.
pub(super) fn file(signing: Signing, signatures: Result<Vec<Signed>, Fault>, anchors: &Anchors, now: i64) -> Finding {
    let signatures = match signatures {
        Ok(signatures) => signatures,
        Err(Fault::Unsigned) => return Finding::unsigned(),
        Err(fault) => return Finding::nobody(fault.to_string()),
    };
    let all = signatures.iter().flat_map(|signed| signed.signers.iter().map(move |signer| (signed, signer)));
    let mut best = Finding::unsigned();
    for (signed, signer) in all {
        let found = one(signing, signed, signer, anchors, now);
        // The first of equals: a file's own order.
        if found.weight() > best.weight() {
            best = found;
        }
    }
    best
}

fn one(signing: Signing, signed: &Signed, signer: &Signer, anchors: &Anchors, now: i64) -> Finding {
    let (der, certificate) = match certificate(signer, [signed.certificates.as_slice()], anchors) {
        Ok(Some(found)) => found,
        Ok(None) => return Finding::nobody("it is signed with a key that no file on this host names".to_owned()),
        Err(fault) => return Finding::nobody(fault.to_string()),
    };
    let verified = match signer.fault.and_then(Fault::flaw) {
        Some(flaw) => Err(flaw),
        None => key::verify(&certificate.key, signer.kind, signer.digest, &signer.covered, &signer.signature),
    };
    let stamped = verified.is_ok().then(|| signer.times.iter().filter_map(|time| stamp(time, signed, anchors, now)).min()).flatten();
    let at = stamped.unwrap_or(now / MICROS);
    let purpose = if signing == Signing::KernelModule { Purpose::Module } else { Purpose::Code };
    let followed = chain::Signer { der: &der, certificate: &certificate, others: &signed.certificates };
    let chain = verified.and_then(|()| chain::follow(anchors, followed, purpose, at));
    let flaw = chain.as_ref().err().copied();
    let validity = Validity { from: certificate.not_before.saturating_mul(MICROS), until: certificate.not_after.saturating_mul(MICROS) };
    Finding {
        until: if stamped.is_some() { None } else { turning_point(validity, now) },
        reason: None,
        evidence: Some(PublisherEvidence {
            signing,
            name: certificate.name,
            fingerprint: anchor::sha256(&der),
            valid: verified.is_ok(),
            chain_trusted: flaw.is_none(),
            public_authority: chain.as_ref().is_ok_and(|chain| chain.is_public),
            flaw,
            signed_at: stamped.map(|at| at.saturating_mul(MICROS)),
            validity: Some(validity),
            chain: chain.map(|Chain { names, .. }| names).unwrap_or_default(),
        }),
    }
}

/// The next moment at which a certificate begins or ends to hold.
fn turning_point(validity: Validity, now: i64) -> Option<i64> {
    [validity.from.saturating_sub(1), validity.until].into_iter().find(|moment| now <= *moment)
}

/// The signer's certificate, from those that came along or the site's.
fn certificate<const N: usize>(signer: &Signer, sets: [&[Vec<u8>]; N], anchors: &Anchors) -> Result<Option<(Vec<u8>, Certificate)>, Fault> {
    let mut fault = None;
    for der in sets.into_iter().flatten() {
        match Certificate::read(der) {
            Ok(certificate) if certificate.is(&signer.id) => return Ok(Some((der.clone(), certificate))),
            Ok(_) => {}
            Err(found) => fault = Some(found),
        }
    }
    match (anchors.certificate(&signer.id), fault) {
        (Some(found), _) => Ok(Some(found.clone())),
        (None, Some(fault)) => Err(fault),
        (None, None) => Ok(None),
    }
}

/// When a stamp that counts says that the signature was there, in seconds since 1970.
fn stamp(stamp: &TimeStamp, outer: &Signed, anchors: &Anchors, now: i64) -> Option<i64> {
    let sets = [stamp.signed.certificates.as_slice(), outer.certificates.as_slice()];
    let others: Vec<_> = sets.concat();
    let verified = stamp.signed.signers.iter().any(|signer| {
        let Ok(Some((der, certificate))) = certificate(signer, sets, anchors) else { return false };
        let is_signed =
            signer.fault.is_none() && key::verify(&certificate.key, signer.kind, signer.digest, &signer.covered, &signer.signature).is_ok();
        let signer = chain::Signer { der: &der, certificate: &certificate, others: &others };
        is_signed && chain::follow(anchors, signer, Purpose::Time, stamp.at).is_ok()
    });
    (verified && stamp.at <= now / MICROS).then_some(stamp.at)
}
