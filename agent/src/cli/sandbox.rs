//! `sandbox`: the process that reads hostile files for the one that started it. It reads no configuration and opens nothing. What it
//! does is in [`crate::sandbox`].

use std::process::ExitCode;

use doorward_service::Exit;

use crate::sandbox::duty;

pub(super) fn run() -> ExitCode {
    match duty::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("doorward-agent: `sandbox` is started by the agent and cannot be used by hand: {error}");
            Exit::Usage.into()
        }
    }
}
