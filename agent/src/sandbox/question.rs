//! What can be asked of a helper, and what it answers. One variant for each parser; [`super::parse`] says which function of the
//! formats crate answers it.

use doorward_policy::FileKind;
use serde::{Deserialize, Serialize};

/// Bytes of a question, whatever it carries with it.
pub(super) const QUESTION_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer; the member list of the largest archives fits.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A question about the open file that comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// What the file is by its content.
    Kind,
    /// For tests: do what a helper that was taken over would try.
    #[cfg(test)]
    Attempt(super::tests::Attempt),
}

/// The answer to the question of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Facts {
    /// `None` when the file is no candidate.
    Kind(Option<FileKind>),
    /// The error number of the attempt; 0 when it went through.
    #[cfg(test)]
    Attempt(i32),
}

/// Why a helper that still works has no facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The file could not be read.
    Unreadable,
    /// The parser met a defect of its own.
    Defect,
    /// The facts are longer than an answer may be.
    TooLong,
}

/// Why there are no facts. Completes the sentence "no evidence, because ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoFacts {
    /// The deadline passed; the helper that still read was ended.
    #[error("the sandboxed helper did not answer in time")]
    NotInTime,
    /// The helper ended over this file, by the signal if one ended it.
    #[error("the sandboxed helper ended over it")]
    Lost {
        /// Number of the signal; `None` when it ended by itself.
        signal: Option<i32>,
    },
    /// As many questions wait as may.
    #[error("too many files wait for the sandboxed helper")]
    Busy,
    /// There is no helper now; one is started again.
    #[error("there is no sandboxed helper at the moment")]
    Unavailable,
    /// The file could not be read.
    #[error("the file could not be read")]
    Unreadable,
    /// The parser met a defect of its own.
    #[error("reading it met a defect of this program")]
    Defect,
    /// Question or facts are longer than a frame may be.
    #[error("there is more in it than may be told")]
    TooLong,
    /// The helper answered what was not asked; it was ended.
    #[error("the sandboxed helper answered nonsense")]
    Nonsense,
}

impl From<Fault> for NoFacts {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreadable => Self::Unreadable,
            Fault::Defect => Self::Defect,
            Fault::TooLong => Self::TooLong,
        }
    }
}

impl Question {
    /// Whether these facts answer this question, as far as their names tell.
    pub(super) const fn is_answered_by(&self, facts: &Facts) -> bool {
        match self {
            Self::Kind => matches!(facts, Facts::Kind(_)),
            #[cfg(test)]
            Self::Attempt(_) => matches!(facts, Facts::Attempt(_)),
        }
    }
}
