//! How a key stands at a moment: what it says of itself by signatures that count.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, RsaPublicParams, Tag};

use super::Fault;

/// Signatures of one key on itself that are looked at, the newest first; keys have some ten of their own.
const SIGNATURES_MAX: usize = 64;

/// Bytes of a name that are kept.
const NAME_BYTES_MAX: usize = 255;

/// RSA keys below this do not count.
const RSA_BITS_MIN: usize = 2048;

/// Bits of an RSA key: two bytes that count them come first in its serialized form.
fn modulus_bits(params: &RsaPublicParams) -> usize {
    let mut written = Vec::new();
    match params.to_writer(&mut written) {
        Ok(()) if written.len() > 2 => usize::from(u16::from_be_bytes([written[0], written[1]])),
        _ => 0,
    }
}

/// Whether signatures made with it count.
pub(super) const fn is_strong(hash: Option<HashAlgorithm>) -> bool {
    matches!(
        hash,
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512 | HashAlgorithm::Sha3_256 | HashAlgorithm::Sha3_512)
    )
}

/// Whether the key's algorithm and length count.
pub(super) fn is_strong_key(params: &PublicParams) -> bool {
    match params {
        PublicParams::RSA(params) => modulus_bits(params) >= RSA_BITS_MIN,
        PublicParams::ECDSA(_) | PublicParams::EdDSALegacy(_) | PublicParams::Ed25519(_) | PublicParams::Ed448(_) => true,
        _ => false,
    }
}

/// The owner's name, for people; never to be compared.
pub(super) fn name(certificate: &SignedPublicKey) -> String {
    let users = &certificate.details.users;
    let user = users.iter().find(|user| user.is_primary()).or_else(|| users.first());
    let name = user.map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).unwrap_or_default();
    name[..name.floor_char_boundary(NAME_BYTES_MAX)].to_owned()
}

/// Whether the primary key counts at `now`.
pub(super) fn standing(certificate: &SignedPublicKey, now: i64) -> Result<(), Fault> {
    primary(certificate, now).map(drop)
}

/// Whether the primary key may sign data at `now`.
pub(super) fn primary_signs(certificate: &SignedPublicKey, now: i64) -> Result<(), Fault> {
    let own = primary(certificate, now)?;
    if says_what_it_is_for(own) && !own.key_flags().sign() { Err(Fault::NotForSigning) } else { Ok(()) }
}

/// The signature by which the primary key says what it is, when the key counts.
fn primary(certificate: &SignedPublicKey, now: i64) -> Result<&Signature, Fault> {
    let key = &certificate.primary_key;
    if !is_strong_key(key.public_params()) {
        return Err(Fault::WeakKey);
    }
    if certificate.details.revocation_signatures.iter().take(SIGNATURES_MAX).any(|revocation| revocation.verify_key(key).is_ok()) {
        return Err(Fault::Revoked);
    }
    let own = latest(own_signatures(certificate), now, |(signature, user)| match user {
        None => signature.verify_key(key).is_ok(),
        Some(user) => signature.verify_certification(key, Tag::UserId, *user).is_ok(),
    });
    let (own, _) = own.ok_or(Fault::Unbound)?;
    check_time(i64::from(key.created_at().as_secs()), own, now)?;
    Ok(own)
}

/// Whether this subkey may sign data at `now`.
pub(super) fn subkey_signs(certificate: &SignedPublicKey, subkey: &SignedPublicSubKey, now: i64) -> Result<(), Fault> {
    primary(certificate, now)?;
    let (key, sub) = (&certificate.primary_key, &subkey.key);
    if !is_strong_key(sub.public_params()) {
        return Err(Fault::WeakKey);
    }
    let of = |kind| subkey.signatures.iter().filter(move |signature| signature.typ() == Some(kind));
    if of(SignatureType::SubkeyRevocation).take(SIGNATURES_MAX).any(|revocation| revocation.verify_subkey_binding(key, sub).is_ok()) {
        return Err(Fault::Revoked);
    }
    let bindings = of(SignatureType::SubkeyBinding).map(|signature| (signature, None));
    let binding = latest(bindings, now, |(signature, _)| signature.verify_subkey_binding(key, sub).is_ok());
    let (binding, _) = binding.ok_or(Fault::Unbound)?;
    if !binding.key_flags().sign() {
        return Err(Fault::NotForSigning);
    }
    // SECURITY: without the subkey's own word anybody could adopt another's subkey, and so its signatures.
    let back = binding.embedded_signature().ok_or(Fault::Unbound)?;
    if !is_strong(back.hash_alg()) || back.verify_primary_key_binding(sub, key).is_err() {
        return Err(Fault::Unbound);
    }
    check_time(i64::from(sub.created_at().as_secs()), binding, now)
}

type User<'a> = Option<&'a pgp::packet::UserId>;

/// What may be signatures of the key on itself and its names.
fn own_signatures(certificate: &SignedPublicKey) -> impl Iterator<Item = (&Signature, User<'_>)> {
    let direct = certificate.details.direct_signatures.iter().map(|signature| (signature, None));
    let named = certificate.details.users.iter().flat_map(|user| user.signatures.iter().map(|signature| (signature, Some(&user.id))));
    let (id, fingerprint) = (certificate.primary_key.legacy_key_id(), certificate.primary_key.fingerprint());
    direct.chain(named).filter(move |(signature, _)| {
        let is_of_kind = !matches!(signature.typ(), Some(SignatureType::CertRevocation | SignatureType::KeyRevocation) | None);
        is_of_kind
            && (signature.issuer_key_id().iter().any(|other| **other == id)
                || signature.issuer_fingerprint().iter().any(|other| **other == fingerprint))
    })
}

/// The newest that counts. Newer ones that do not count change nothing: anybody can append them.
fn latest<'a>(
    signatures: impl Iterator<Item = (&'a Signature, User<'a>)>,
    now: i64,
    holds: impl Fn(&(&'a Signature, User<'a>)) -> bool,
) -> Option<(&'a Signature, User<'a>)> {
    let made = |signature: &Signature| signature.created().map(|made| i64::from(made.as_secs()));
    let mut candidates: Vec<_> = signatures
        .filter(|(signature, _)| is_strong(signature.hash_alg()) && made(signature).is_some_and(|made| made <= now))
        .filter(|(signature, _)| !has_expired(signature, now))
        .collect();
    candidates.sort_by_key(|(signature, _)| std::cmp::Reverse(made(signature)));
    candidates.into_iter().take(SIGNATURES_MAX).find(holds)
}

/// Whether a signature's own time is over.
pub(super) fn has_expired(signature: &Signature, now: i64) -> bool {
    let made = signature.created().map_or(0, |made| i64::from(made.as_secs()));
    let lifetime = signature.signature_expiration_time().map_or(0, |lifetime| i64::from(lifetime.as_secs()));
    lifetime > 0 && made + lifetime <= now
}

fn check_time(created: i64, own: &Signature, now: i64) -> Result<(), Fault> {
    let lifetime = own.key_expiration_time().map_or(0, |lifetime| i64::from(lifetime.as_secs()));
    if created > now {
        return Err(Fault::Future);
    }
    if lifetime > 0 && created + lifetime <= now { Err(Fault::KeyExpired) } else { Ok(()) }
}

/// Old keys say nothing of their use, and then may do everything.
fn says_what_it_is_for(own: &Signature) -> bool {
    use pgp::packet::SubpacketData;
    own.config().is_some_and(|config| config.hashed_subpackets().any(|part| matches!(part.data, SubpacketData::KeyFlags(_))))
}
