//! Writes committed generated files anew. The tests that compare them do the writing, so both always agree.

use crate::step::{self, Outcome};

pub(crate) fn run() -> Outcome {
    let mut generate = step::cargo();
    generate.args(["test", "--quiet", "--package", "doorward-proto", "--test", "fresh"]).env("DOORWARD_GENERATE", "1");
    step::run("generate proto/src/generated", &mut generate)
}
