//! Inside the helper: which parser answers which question. Every arm is one call of a pure function.

use std::fs::File;
use std::io;

use doorward_formats::Kind;

use super::positional::Positional;
use super::{Facts, Fault, Question};

/// Answers a question about an open file of `size` bytes.
pub(super) fn answer(question: &Question, file: &File, size: u64) -> Result<Facts, Fault> {
    let mut file = Positional::new(file, size);
    match question {
        Question::Kind => Kind::of_file(&mut file).map(|kind| Facts::Kind(kind.map(|kind| kind.file_kind()))).map_err(unreadable),
        #[cfg(test)]
        Question::Attempt(super::tests::Attempt::Lie) => Ok(Facts::Kind(None)),
        #[cfg(test)]
        Question::Attempt(attempt) => Ok(Facts::Attempt(attempt.make(&mut file))),
    }
}

fn unreadable(_: io::Error) -> Fault {
    Fault::Unreadable
}
