//! Why a policy was not taken. Whoever gets one keeps the policy that was in force.

use super::Position;

/// Why a policy was refused. All but [`Refusal::NotNewer`] and [`Refusal::WrongBase`] mean a broken or hostile sender (or file);
/// every one of them is answered by asking for a whole snapshot or by waiting for the next revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It ended before all records its head promises were there.
    #[error("cut short: {got} of {expected} records")]
    Short {
        /// Records the head promises.
        expected: u64,
        /// Records that came.
        got: u64,
    },
    /// More records, or more bytes, than the head promises.
    #[error("more than the {expected} records it promises")]
    Surplus {
        /// Records the head promises.
        expected: u64,
    },
    /// Records or removals that do not rise strictly, one twice among them.
    #[error("records out of order")]
    Unsorted,
    /// The records are not those that were signed.
    #[error("records do not hash to the signed root")]
    WrongRoot,
    /// The policy key did not sign this head.
    #[error("not signed by the policy key")]
    WrongSignature,
    /// A policy as new or newer is in force: a replay, or a sender that fell behind.
    #[error("{offered} is not newer than {current}")]
    NotNewer {
        /// In force.
        current: Position,
        /// Offered.
        offered: Position,
    },
    /// A delta that starts from another policy than the one in force.
    #[error("starts from {base}, but {current} is in force")]
    WrongBase {
        /// In force.
        current: Position,
        /// What the delta starts from.
        base: Position,
    },
    /// Signed for another profile.
    #[error("published for another profile")]
    WrongProfile,
    /// A record whose kind, scope or flags this program has no meaning for: a later CMS. Ignoring it could ignore a deny.
    #[error("record of unknown kind {0} (or with unknown scope or flags): this agent is too old for it")]
    UnknownRecordKind(u8),
    /// A version rule this program has no meaning for: a later CMS. Ignoring it could ignore a deny.
    #[error("version rule of unknown form: this agent is too old for it")]
    UnknownVersionRule,
    /// More records than [`crate::limit::RECORDS_MAX`], or more version rules than there may be.
    #[error("more records or version rules than any policy may have")]
    TooLarge,
    /// A part that cannot come now: records before a head, or a second head.
    #[error("parts out of turn")]
    OutOfTurn,
    /// Not the bytes of a policy file at all.
    #[error("not a policy file")]
    NotAPolicy,
}
