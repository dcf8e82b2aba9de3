//! A policy as a file: magic, signed head, signature, records. Every byte of it is either fixed or under the signature, by way of the
//! root; so a file that reads back is the policy that was published, whatever happened to the disk.

use doorward_policy::ProfileId;

use super::policy::read_rising;
use super::{Head, Policy, PolicyVerifier, Record, Refusal, SignedHead};
use crate::limit::RECORDS_MAX;

const MAGIC: &[u8] = b"doorward policy file 1\n";
const HEAD_BYTES: usize = MAGIC.len() + Head::SIGNED_BYTES + 64;

impl Policy {
    /// Largest policy file, in bytes: what a reader need ever read.
    pub const FILE_BYTES_MAX: usize = HEAD_BYTES + RECORDS_MAX * Record::BYTES;

    /// The file's bytes. Replace the old file atomically; an [`empty`](Policy::empty) policy is not signed and does not read back.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let signed = self.signed_head();
        let records = self.record_bytes().as_flattened();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + records.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&signed.head.signed_bytes());
        bytes.extend_from_slice(&signed.signature);
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
        let head = Head::from_signed_bytes(head).ok_or(Refusal::NotAPolicy)?;
        let signed = SignedHead { head, signature: *signature };
        verifier.verify(&signed)?;
        if head.profile != profile {
            return Err(Refusal::WrongProfile);
        }
        if head.count > RECORDS_MAX as u64 {
            return Err(Refusal::TooLarge);
        }
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
        Self::from_believed(signed, records)
    }
}
