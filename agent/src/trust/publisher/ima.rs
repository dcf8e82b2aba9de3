//! The signature in `security.ima`, by keys the site set.

use std::fs::File;

use doorward_formats::signature::{Covered, DigestAlgorithm, Fault, IMA_BYTES_MAX, ImaSignature, KeyKind, SignatureKind};
use doorward_policy::{PublisherEvidence, Signing, Validity};

use super::Finding;
use super::anchor::{Anchors, Key};
use super::key;
use crate::system::xattr;

const MICROS: i64 = 1_000_000;

/// What the attribute proves of content whose digests `digest` takes; `None` when that cannot be told now.
///
/// A key's dates do not matter, as they do not to the kernel, which was given it by the site.
pub(super) fn find(file: &File, anchors: &Anchors, digest: &dyn Fn(DigestAlgorithm) -> Option<Vec<u8>>) -> Option<Finding> {
    let Some(attribute) = xattr::ima(file, IMA_BYTES_MAX) else { return Some(Finding::unsigned()) };
    let signature = match ImaSignature::read(&attribute) {
        Ok(signature) => signature,
        Err(Fault::Unsigned) => return Some(Finding::unsigned()),
        Err(fault) => return Some(Finding::nobody(fault.to_string())),
    };
    let mut named = anchors.keys.iter().filter(|key| key.ids.iter().any(|id| id.ends_with(&signature.key))).peekable();
    if named.peek().is_none() {
        return Some(Finding::nobody("its IMA signature is by a key that no file on this host names".to_owned()));
    }
    let covered = Covered::Digest(digest(signature.digest)?);
    // Four bytes can name several keys.
    named.map(|key| weigh(key, &signature, &covered)).max_by_key(Finding::weight)
}

fn weigh(signer: &Key, signature: &ImaSignature, covered: &Covered) -> Finding {
    let kind = if signer.key.kind == KeyKind::Rsa { SignatureKind::RsaPkcs1 } else { SignatureKind::Ecdsa };
    let verified = key::verify(&signer.key, kind, signature.digest, covered, &signature.signature);
    let evidence = PublisherEvidence {
        signing: Signing::Ima,
        name: signer.name.clone(),
        fingerprint: signer.fingerprint,
        valid: verified.is_ok(),
        chain_trusted: verified.is_ok(),
        public_authority: false,
        flaw: verified.err(),
        signed_at: None,
        validity: signer.validity.map(|(from, until)| Validity { from: from.saturating_mul(MICROS), until: until.saturating_mul(MICROS) }),
        chain: Vec::new(),
    };
    Finding { evidence: Some(evidence), ..Finding::default() }
}
