//! `serve`: logging first, then the server until it is told to stop.

use doorward_service::{Exit, log};

use super::failure::Failure;
use crate::config::Settings;

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    settings.check_server().map_err(|error| Failure::config(&error))?;
    let _log = log::init(&settings.log).map_err(|error| Failure::config(&error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Os, format!("cannot start: {error}")))?;
    runtime.block_on(crate::serve::serve(settings)).map_err(|error| Failure::new(error.exit(), error.to_string()))
}
