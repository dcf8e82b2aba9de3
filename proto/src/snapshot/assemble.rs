//! A snapshot as it arrives: one head, version rules if any, records, one end. Nothing is taken before the end, and nothing after a refusal.

use bytes::Bytes;
use doorward_policy::ProfileId;

use super::policy::{RecordBytes, read_rising};
use super::{Policy, PolicyVerifier, Position, Refusal, SignedHead, VersionRules};
use crate::limit::RECORDS_MAX;

/// A part of a snapshot on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// First.
    Head(SignedHead),
    /// Then, at most once and before all records, the version rules.
    VersionRules(Bytes),
    /// Then records in order, a whole number of them.
    Records(Bytes),
    /// Last.
    End {
        /// Records that were sent.
        count: u64,
    },
}

/// Puts a snapshot together, part by part. Memory grows only under a head that the policy key signed, for this profile and newer than
/// the policy in force, and never beyond the records that head promises.
#[derive(Debug)]
pub struct Assembler {
    verifier: PolicyVerifier,
    profile: ProfileId,
    open: Option<(SignedHead, VersionRules, Vec<RecordBytes>)>,
}

impl Assembler {
    /// For the profile the host was enrolled into.
    #[must_use]
    pub const fn new(verifier: PolicyVerifier, profile: ProfileId) -> Self {
        Self { verifier, profile, open: None }
    }

    /// Whether a snapshot has begun and not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next part; gives the policy with the last one. `current` is the position of the policy in force.
    ///
    /// # Errors
    /// Any [`Refusal`]; what was gathered is dropped, and parts are refused until a new head comes.
    pub fn push(&mut self, part: Part, current: Position) -> Result<Option<Policy>, Refusal> {
        let open = self.open.take();
        match (part, open) {
            (Part::Head(signed), None) => {
                self.believe(&signed, current)?;
                self.open = Some((signed, VersionRules::default(), Vec::new()));
                Ok(None)
            }
            (Part::VersionRules(bytes), Some((signed, rules, records))) if rules.bytes().is_empty() && records.is_empty() => {
                self.open = Some((signed, VersionRules::read(&bytes)?, records));
                Ok(None)
            }
            (Part::Records(bytes), Some((signed, rules, mut records))) => {
                append(&signed, &mut records, &bytes)?;
                self.open = Some((signed, rules, records));
                Ok(None)
            }
            (Part::End { count }, Some((signed, rules, records))) => {
                if count != signed.head.count {
                    return Err(Refusal::Short { expected: signed.head.count, got: count });
                }
                not_newer(&signed, current)?;
                Policy::from_believed(signed, rules, records).map(Some)
            }
            (Part::Head(_) | Part::VersionRules(_), Some(_)) | (Part::VersionRules(_) | Part::Records(_) | Part::End { .. }, None) => {
                Err(Refusal::OutOfTurn)
            }
        }
    }

    fn believe(&self, signed: &SignedHead, current: Position) -> Result<(), Refusal> {
        self.verifier.verify(signed)?;
        if signed.head.profile != self.profile {
            return Err(Refusal::WrongProfile);
        }
        if signed.head.count > RECORDS_MAX as u64 {
            return Err(Refusal::TooLarge);
        }
        not_newer(signed, current)
    }
}

/// Refuses what is not newer than the policy in force.
pub(super) fn not_newer(signed: &SignedHead, current: Position) -> Result<(), Refusal> {
    let offered = signed.head.position();
    if offered > current { Ok(()) } else { Err(Refusal::NotNewer { current, offered }) }
}

fn append(signed: &SignedHead, records: &mut Vec<RecordBytes>, bytes: &[u8]) -> Result<(), Refusal> {
    let expected = signed.head.count;
    let arriving = (bytes.len() / super::Record::BYTES) as u64;
    if records.len() as u64 + arriving > expected {
        return Err(Refusal::Surplus { expected });
    }
    read_rising(bytes, records.last().copied(), |record| records.push(record))
}
