//! Why a session ended, and what follows from it.

use doorward_policy::PathBytes;
use tonic::{Code, Status};

use super::dial::{DialError, chain, is_tls_refusal};
use crate::credential::CredentialError;
use crate::pending::PendingError;

/// The end of a session.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The agent stops.
    #[error("the agent is stopping")]
    Stopped,
    /// The network, or the server going away. Time heals it.
    #[error("{0}")]
    Network(String),
    /// The server does not take this host. A person has to look.
    #[error("{0}")]
    Refused(String),
    /// The server broke the contract.
    #[error("the management server broke the protocol: {0}")]
    Contract(String),
    /// This host's own store failed, so nothing can be sent or taken for a while.
    #[error(transparent)]
    Store(#[from] PendingError),
    /// The server knows reports this store never sent: it was set back. Its name was changed, and the next session uses the new one.
    #[error("the store of unsent reports is older than the management server remembers; it goes on under a new name")]
    NewEpoch,
}

/// Says of a message that does not come in time or not whole.
pub(super) fn contract(what: impl ToString) -> End {
    End::Contract(what.to_string())
}

impl From<DialError> for End {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Unreachable { .. } | DialError::TimedOut { .. } | DialError::Protocol { .. } => Self::Network(error.to_string()),
            // A clock that is wrong now may be set right at any time; an authority or a name is not.
            DialError::OutOfDate(_) => Self::Network(error.to_string()),
            DialError::WrongAuthority(_) | DialError::NameMismatch(_) => Self::Refused(error.to_string()),
            DialError::Refused(_) => Self::Refused(refused_certificate(&error.to_string())),
        }
    }
}

impl From<CredentialError> for End {
    fn from(error: CredentialError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        if is_tls_refusal(&status) {
            return Self::Refused(refused_certificate("the management server refuses this host's certificate"));
        }
        // SECURITY: the server's words reach a log and a terminal.
        let words = PathBytes::new(status.message());
        match status.code() {
            Code::Unauthenticated => {
                Self::Refused(refused_certificate(&format!("the management server does not know this host ({words})")))
            }
            Code::PermissionDenied => Self::Refused(format!("the management server refuses this host: {words}")),
            Code::FailedPrecondition | Code::Unimplemented => {
                Self::Refused(format!("the management server does not speak this agent's protocol ({words}); upgrade the older of the two"))
            }
            Code::InvalidArgument => Self::Contract(format!("it calls this agent's messages malformed: {words}")),
            // The library's own words for what it could not decode.
            Code::OutOfRange => Self::Contract(format!("a message is too large: {words}")),
            Code::Internal if std::error::Error::source(&status).is_none() => Self::Contract(format!("a message cannot be read: {words}")),
            _ => Self::Network(PathBytes::new(chain(&status)).to_string()),
        }
    }
}

fn refused_certificate(what: &str) -> String {
    format!("{what}; if its certificate has run out or the host was removed, remove the credential folder and enroll the host again")
}
