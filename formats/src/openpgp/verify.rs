//! Whether a signature counts.

use doorward_policy::KeyFingerprint;
use pgp::armor::BlockType;
use pgp::composed::SignedPublicKey;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::types::KeyDetails;

use super::keyring::dearmour;
use super::{Fault, Keyring, Refusal, certificate, split_cleartext};

/// Signatures on one text; Debian's has four.
const SIGNATURES_MAX: usize = 16;

/// Bytes of all signatures on one text.
const SIGNATURE_BYTES_MAX: usize = 256 * 1024;

/// Keys tried for one signature: several may share the short name a signature has for its key.
const TRIALS_MAX: usize = 8;

/// How far a signer's clock may be ahead, in seconds.
const CLOCK_SLACK_S: i64 = 3600;

const ARMOUR: &[u8] = b"-----BEGIN PGP SIGNATURE-----";

/// A signature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The primary key of whoever signed.
    pub key: KeyFingerprint,
    /// The key that signed: the primary key itself or one of its subkeys.
    pub signer: KeyFingerprint,
    /// The owner's name by the key's own word, for people.
    pub name: String,
    /// When, in seconds since 1970, UTC.
    pub made_at: i64,
}

/// Checks a text inside its signature and gives the text, the only part that counts: lines end with CR and LF.
///
/// # Errors
/// The [`Refusal`] that says most when none of its signatures counts.
pub fn verify_cleartext(message: &[u8], keyring: &Keyring, now: i64) -> Result<(Vec<u8>, Signed), Refusal> {
    let (text, signature) = split_cleartext(message)?;
    let signed = verify_detached(&text, signature, keyring, now)?;
    Ok((text, signed))
}

/// Checks a signature, armoured or not, that lies beside the bytes it signs.
///
/// # Errors
/// As [`verify_cleartext`].
pub fn verify_detached(text: &[u8], signature: &[u8], keyring: &Keyring, now: i64) -> Result<Signed, Refusal> {
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(Refusal::Damaged);
    }
    let dearmoured = signature.trim_ascii_start().starts_with(ARMOUR).then(|| dearmour(signature.trim_ascii_start(), BlockType::Signature));
    let bytes = match &dearmoured {
        Some(bytes) => bytes.as_deref().ok_or(Refusal::Damaged)?,
        None => signature,
    };
    let mut refusal = Refusal::Damaged;
    for packet in PacketParser::new(bytes).take(SIGNATURES_MAX) {
        let Ok(Packet::Signature(signature)) = packet else { continue };
        match check(text, &signature, keyring, now) {
            Ok(signed) => return Ok(signed),
            Err(other) => refusal = worse(refusal, other),
        }
    }
    Err(refusal)
}

/// The one that says more.
fn worse(one: Refusal, other: Refusal) -> Refusal {
    let weight = |refusal: &Refusal| match refusal {
        Refusal::NotSigned(_) | Refusal::Damaged => (0, None),
        Refusal::UnknownKey(_) => (1, None),
        Refusal::Faulty { fault, .. } => (2, Some(*fault)),
    };
    if weight(&other) > weight(&one) { other } else { one }
}

fn check(text: &[u8], signature: &Signature, keyring: &Keyring, now: i64) -> Result<Signed, Refusal> {
    let mut refusal = Refusal::UnknownKey(issuer(signature));
    let named = keyring.certificates.iter().filter(|certificate| names(signature, certificate));
    for certificate in named.take(TRIALS_MAX) {
        let Some(key) = KeyFingerprint::from_slice(certificate.fingerprint().as_bytes()) else { continue };
        match check_with(text, signature, certificate, now) {
            Ok((signer, made_at)) => return Ok(Signed { key, signer, name: certificate::name(certificate), made_at }),
            Err(fault) => refusal = worse(refusal, Refusal::Faulty { key, fault }),
        }
    }
    Err(refusal)
}

fn check_with(text: &[u8], signature: &Signature, certificate: &SignedPublicKey, now: i64) -> Result<(KeyFingerprint, i64), Fault> {
    if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
        return Err(Fault::Kind);
    }
    if !certificate::is_strong(signature.hash_alg()) {
        return Err(Fault::WeakHash);
    }
    let made_at = i64::from(signature.created().ok_or(Fault::Kind)?.as_secs());
    let signer = who_signed(text, signature, certificate, now)?;
    if made_at > now + CLOCK_SLACK_S {
        return Err(Fault::Future);
    }
    if certificate::has_expired(signature, now) {
        return Err(Fault::SignatureExpired);
    }
    Ok((signer, made_at))
}

/// The key of the certificate that made this signature, when it may.
fn who_signed(text: &[u8], signature: &Signature, certificate: &SignedPublicKey, now: i64) -> Result<KeyFingerprint, Fault> {
    let primary = &certificate.primary_key;
    if is_named(signature, primary) && signature.verify(primary, text).is_ok() {
        certificate::primary_signs(certificate, now)?;
        return KeyFingerprint::from_slice(primary.fingerprint().as_bytes()).ok_or(Fault::WeakKey);
    }
    for subkey in certificate.public_subkeys.iter().filter(|subkey| is_named(signature, &subkey.key)).take(TRIALS_MAX) {
        if signature.verify(&subkey.key, text).is_ok() {
            certificate::subkey_signs(certificate, subkey, now)?;
            return KeyFingerprint::from_slice(subkey.key.fingerprint().as_bytes()).ok_or(Fault::WeakKey);
        }
    }
    Err(Fault::Mismatch)
}

/// Whether the signature says that one of these keys made it.
fn names(signature: &Signature, certificate: &SignedPublicKey) -> bool {
    is_named(signature, &certificate.primary_key) || certificate.public_subkeys.iter().any(|subkey| is_named(signature, &subkey.key))
}

fn is_named(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (id, fingerprint) = (key.legacy_key_id(), key.fingerprint());
    signature.issuer_key_id().iter().any(|issuer| **issuer == id)
        || signature.issuer_fingerprint().iter().any(|issuer| **issuer == fingerprint)
}

/// What the signature calls its key.
fn issuer(signature: &Signature) -> String {
    match (signature.issuer_fingerprint().first(), signature.issuer_key_id().first()) {
        (Some(fingerprint), _) => fingerprint.to_string().to_uppercase(),
        (None, Some(id)) => id.to_string().to_uppercase(),
        (None, None) => "an unnamed key".to_owned(),
    }
}
