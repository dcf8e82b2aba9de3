//! `run`: the daemon, in the foreground. Where it leads is in [`crate::run`].

use doorward_service::{Exit, log};

use super::Failure;
use crate::config::Settings;

pub(super) fn run(settings: Settings) -> Result<(), Failure> {
    let _log = log::init(&settings.log).map_err(|error| Failure::of(Exit::Config, &error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Os, format!("cannot start: {error}")))?;
    runtime.block_on(crate::run::run(settings)).map_err(|error| Failure::of(error.exit(), &error))
}
