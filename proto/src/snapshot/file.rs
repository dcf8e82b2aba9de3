//! A policy as a file: magic, signed head, signature, version rules after their length (4 bytes, big-endian), records. Every byte of it is either fixed or under the signature, by way of the
//! root; so a file that reads back is the policy that was published, whatever happened to the disk.

use bytes::Bytes;
use doorward_policy::ProfileId;

use super::policy::read_rising;
use super::{Head, Policy, PolicyVerifier, Record, Refusal, SignedHead, VersionRules};
use crate::limit::{RECORDS_MAX, VERSION_RULES_BYTES_MAX};

const MAGIC: &[u8] = b"doorward policy file 2\n";
const HEAD_BYTES: usize = MAGIC.len() + Head::SIGNED_BYTES + 64 + 4;

impl Policy {
    /// Largest policy file, in bytes: what a reader need ever read.
    pub const FILE_BYTES_MAX: usize = HEAD_BYTES + VERSION_RULES_BYTES_MAX + RECORDS_MAX * Record::BYTES;

    /// The file's bytes. Replace the old file atomically; an [`empty`](Policy::empty) policy is not signed and does not read back.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let signed = self.signed_head();
        let (rules, records) = (self.version_rules().bytes(), self.record_bytes().as_flattened());
        let rules_length = u32::try_from(rules.len()).expect("version rules have a bound");
        let mut bytes = Vec::with_capacity(HEAD_BYTES + rules.len() + records.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&signed.head.signed_bytes());
        bytes.extend_from_slice(&signed.signature);
        bytes.extend_from_slice(&rules_length.to_be_bytes());
        bytes.extend_from_slice(rules);
        bytes.extend_from_slice(records);
        bytes
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// Any [`Refusal`]: the file was cut or changed, or belongs to another profile or policy key. Ask for a snapshot.
    pub fn decode(bytes: &[u8], verifier: &PolicyVerifier, profile: ProfileId) -> Result<Self, Refusal> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Refusal::NotAPolicy)?;
        let (head, rest) = rest.split_first_chunk().ok_or(Refusal::NotAPolicy)?;
        let (signature, rest) = rest.split_first_chunk().ok_or(Refusal::NotAPolicy)?;
        let (rules_length, rest) = rest.split_first_chunk().ok_or(Refusal::NotAPolicy)?;
        let rules_length = usize::try_from(u32::from_be_bytes(*rules_length)).map_err(|_| Refusal::TooLarge)?;
        let head = Head::from_signed_bytes(head).ok_or(Refusal::NotAPolicy)?;
        let signed = SignedHead { head, signature: *signature };
        verifier.verify(&signed)?;
        if head.profile != profile {
            return Err(Refusal::WrongProfile);
        }
        if head.count > RECORDS_MAX as u64 {
            return Err(Refusal::TooLarge);
        }
        let (rules, rest) = rest.split_at_checked(rules_length).ok_or(Refusal::Short { expected: head.count, got: 0 })?;
        let version_rules = VersionRules::read(&Bytes::copy_from_slice(rules))?;
        let got = (rest.len() / Record::BYTES) as u64;
        if got > head.count || !rest.len().is_multiple_of(Record::BYTES) {
            return Err(if got < head.count {
                Refusal::Short { expected: head.count, got }
            } else {
                Refusal::Surplus { expected: head.count }
            });
        }
        let mut records = Vec::with_capacity(rest.len() / Record::BYTES);
        read_rising(rest, None, |record| records.push(record))?;
        Self::from_believed(signed, version_rules, records)
    }
}
