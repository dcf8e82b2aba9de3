//! `doorward-lab`: goes into a lab of the tests and does one thing there; see `doorward_tests::lab`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use doorward_tests::lab::entrance::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("doorward-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
