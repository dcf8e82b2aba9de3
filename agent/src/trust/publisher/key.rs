//! The public-key operation.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature as algorithm;
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use doorward_formats::signature::{Covered, DigestAlgorithm, KeyKind, PublicKey, SignatureKind};
use doorward_policy::Flaw;

/// Bytes of an RSA key of 2048 bits, as DER has it; less is too little.
const RSA_KEY_BYTES_MIN: usize = 266;

/// Whether this key made this signature over that.
pub(super) fn verify(
    key: &PublicKey,
    kind: SignatureKind,
    digest: DigestAlgorithm,
    covered: &Covered,
    signature: &[u8],
) -> Result<(), Flaw> {
    if key.kind == KeyKind::Rsa && key.bytes.len() < RSA_KEY_BYTES_MIN {
        return Err(Flaw::Weak);
    }
    let key = UnparsedPublicKey::new(algorithm(key.kind, kind, digest).ok_or(Flaw::Unsupported)?, &key.bytes);
    let outcome = match covered {
        Covered::Bytes(bytes) => key.verify(bytes, signature),
        Covered::Digest(_) if kind == SignatureKind::Ed25519 => return Err(Flaw::Unsupported),
        Covered::Digest(bytes) => {
            let digest = Digest::import_less_safe(bytes, digest_algorithm(digest)).map_err(|_| Flaw::Malformed)?;
            key.verify_digest(&digest, signature)
        }
    };
    outcome.map_err(|_| Flaw::BadSignature)
}

fn algorithm(key: KeyKind, kind: SignatureKind, digest: DigestAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    Some(match (kind, key, digest) {
        (SignatureKind::RsaPkcs1, KeyKind::Rsa, Sha256) => &algorithm::RSA_PKCS1_2048_8192_SHA256,
        (SignatureKind::RsaPkcs1, KeyKind::Rsa, Sha384) => &algorithm::RSA_PKCS1_2048_8192_SHA384,
        (SignatureKind::RsaPkcs1, KeyKind::Rsa, Sha512) => &algorithm::RSA_PKCS1_2048_8192_SHA512,
        (SignatureKind::RsaPss, KeyKind::Rsa, Sha256) => &algorithm::RSA_PSS_2048_8192_SHA256,
        (SignatureKind::RsaPss, KeyKind::Rsa, Sha384) => &algorithm::RSA_PSS_2048_8192_SHA384,
        (SignatureKind::RsaPss, KeyKind::Rsa, Sha512) => &algorithm::RSA_PSS_2048_8192_SHA512,
        (SignatureKind::Ecdsa, KeyKind::P256, Sha256) => &algorithm::ECDSA_P256_SHA256_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P256, Sha384) => &algorithm::ECDSA_P256_SHA384_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P256, Sha512) => &algorithm::ECDSA_P256_SHA512_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P384, Sha256) => &algorithm::ECDSA_P384_SHA256_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P384, Sha384) => &algorithm::ECDSA_P384_SHA384_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P384, Sha512) => &algorithm::ECDSA_P384_SHA512_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P521, Sha256) => &algorithm::ECDSA_P521_SHA256_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P521, Sha384) => &algorithm::ECDSA_P521_SHA384_ASN1,
        (SignatureKind::Ecdsa, KeyKind::P521, Sha512) => &algorithm::ECDSA_P521_SHA512_ASN1,
        (SignatureKind::Ed25519, KeyKind::Ed25519, _) => &algorithm::ED25519,
        _ => return None,
    })
}

const fn digest_algorithm(algorithm: DigestAlgorithm) -> &'static digest::Algorithm {
    match algorithm {
        DigestAlgorithm::Sha256 => &digest::SHA256,
        DigestAlgorithm::Sha384 => &digest::SHA384,
        DigestAlgorithm::Sha512 => &digest::SHA512,
    }
}
