//! `status`: what the running daemon says of itself.

use doorward_service::Exit;

use super::Failure;
use crate::config::Settings;
use crate::control::client::{self, ClientError};
use crate::control::protocol::{Answer, RefusalCode, Request};

pub(super) fn run(settings: &Settings, json: bool) -> Result<(), Failure> {
    match client::ask(&settings.socket(), &Request::Status, None, &mut |_| ()).map_err(|error| of_client(&error))? {
        Answer::Status(status) => super::print(&*status, json),
        _ => Err(unexpected()),
    }
}

/// A failure of asking the daemon, with the code a script can act on.
pub(super) fn of_client(error: &ClientError) -> Failure {
    let exit = match error {
        ClientError::NoDaemon { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Exit::NoPermission,
        ClientError::NoDaemon { .. } | ClientError::NoAnswer { .. } => Exit::Unavailable,
        ClientError::Refused(refusal) => match refusal.code {
            RefusalCode::Malformed => Exit::Software,
            RefusalCode::NotPermitted => Exit::NoPermission,
            RefusalCode::Busy => Exit::Temporary,
            RefusalCode::Unreadable => Exit::Data,
            RefusalCode::Failed => Exit::Failure,
        },
    };
    Failure::of(exit, error)
}

/// The daemon answered another question: the two are of different versions.
pub(super) fn unexpected() -> Failure {
    Failure::new(Exit::Software, "the daemon gave an answer this command does not know; restart the daemon after an upgrade")
}
