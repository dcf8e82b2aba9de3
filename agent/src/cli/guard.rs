//! `guard`: the process that ends a daemon which no longer answers. Started by the daemon itself; it reads no configuration and
//! opens nothing. What it does is in [`crate::health::guard`].

use std::process::ExitCode;

use clap::Args;
use doorward_service::Exit;

use crate::health::guard::GUARD_PERIOD_MS;
use crate::health::guard::duty::{self, EXIT_AGENT_KILLED, End};

/// What the daemon tells its guard.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Silence of the daemon, in milliseconds, after which it is ended
    #[arg(long, value_name = "MS", default_value_t = GUARD_PERIOD_MS)]
    period_ms: u64,
}

pub(super) fn run(options: &Options) -> ExitCode {
    match duty::watch(options.period_ms) {
        Ok(End::AgentGone) => ExitCode::SUCCESS,
        Ok(End::AgentKilled) => ExitCode::from(EXIT_AGENT_KILLED),
        Err(error) => {
            eprintln!("doorward-agent: `guard` is started by the daemon and cannot be used by hand: {error}");
            Exit::Usage.into()
        }
    }
}
