//! The `doorward-cms` program: everything is in the library, see `doorward_cms::cli`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    doorward_cms::cli::run()
}
