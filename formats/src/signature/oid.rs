//! Object identifiers, as the bytes of their encoding.

use x509_parser::asn1_rs::oid;

pub(super) const MD5: &[u8] = &oid!(raw 1.2.840.113549.2.5);
pub(super) const SHA1: &[u8] = &oid!(raw 1.3.14.3.2.26);
pub(super) const SHA256: &[u8] = &oid!(raw 2.16.840.1.101.3.4.2.1);
pub(super) const SHA384: &[u8] = &oid!(raw 2.16.840.1.101.3.4.2.2);
pub(super) const SHA512: &[u8] = &oid!(raw 2.16.840.1.101.3.4.2.3);

pub(super) const RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.1);
pub(super) const MD5_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.4);
pub(super) const SHA1_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.5);
pub(super) const RSA_PSS: &[u8] = &oid!(raw 1.2.840.113549.1.1.10);
pub(super) const SHA256_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.11);
pub(super) const SHA384_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.12);
pub(super) const SHA512_RSA: &[u8] = &oid!(raw 1.2.840.113549.1.1.13);
pub(super) const EC: &[u8] = &oid!(raw 1.2.840.10045.2.1);
pub(super) const SHA1_ECDSA: &[u8] = &oid!(raw 1.2.840.10045.4.1);
pub(super) const SHA256_ECDSA: &[u8] = &oid!(raw 1.2.840.10045.4.3.2);
pub(super) const SHA384_ECDSA: &[u8] = &oid!(raw 1.2.840.10045.4.3.3);
pub(super) const SHA512_ECDSA: &[u8] = &oid!(raw 1.2.840.10045.4.3.4);
pub(super) const ED25519: &[u8] = &oid!(raw 1.3.101.112);
pub(super) const P256: &[u8] = &oid!(raw 1.2.840.10045.3.1.7);
pub(super) const P384: &[u8] = &oid!(raw 1.3.132.0.34);
pub(super) const P521: &[u8] = &oid!(raw 1.3.132.0.35);

pub(super) const DATA: &[u8] = &oid!(raw 1.2.840.113549.1.7.1);
pub(super) const SIGNED_DATA: &[u8] = &oid!(raw 1.2.840.113549.1.7.2);
pub(super) const CONTENT_TYPE: &[u8] = &oid!(raw 1.2.840.113549.1.9.3);
pub(super) const MESSAGE_DIGEST: &[u8] = &oid!(raw 1.2.840.113549.1.9.4);
pub(super) const SIGNING_TIME: &[u8] = &oid!(raw 1.2.840.113549.1.9.5);
pub(super) const COUNTER_SIGNATURE: &[u8] = &oid!(raw 1.2.840.113549.1.9.6);
pub(super) const TIME_STAMP_TOKEN: &[u8] = &oid!(raw 1.2.840.113549.1.9.16.2.14);
pub(super) const TIME_STAMP_INFO: &[u8] = &oid!(raw 1.2.840.113549.1.9.16.1.4);

/// Microsoft's own place for a time stamp token, the same as [`TIME_STAMP_TOKEN`] in all but its number.
pub(super) const MS_TIME_STAMP_TOKEN: &[u8] = &oid!(raw 1.3.6.1.4.1.311.3.3.1);
pub(super) const SPC_INDIRECT_DATA: &[u8] = &oid!(raw 1.3.6.1.4.1.311.2.1.4);
pub(super) const SPC_PE_IMAGE: &[u8] = &oid!(raw 1.3.6.1.4.1.311.2.1.15);
pub(super) const SPC_NESTED: &[u8] = &oid!(raw 1.3.6.1.4.1.311.2.4.1);
