//! Why a stream ended, and what the host is told. Faults of the host are counted; faults of ours tell it nothing but to come back.

use tonic::{Code, Status};

use doorward_proto::ConvertError;

use crate::allowlist::PolicyError;
use crate::store::StoreError;

/// The end of a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The host closed its side, or the connection broke.
    #[error("the host left")]
    Left,
    /// A message that is malformed or over a limit.
    #[error("{0}")]
    Malformed(String),
    /// A message at a time when it makes no sense.
    #[error("{0}")]
    OutOfTurn(&'static str),
    /// The host asked for more than one session gets.
    #[error("too many policy snapshots were asked for in one stream")]
    Greedy,
    /// The host did not take what it was sent.
    #[error("the host does not take what it is sent")]
    Slow,
    /// A newer stream of the same host took the place.
    #[error("a newer stream of this host took its place")]
    Displaced,
    /// A person removed the host.
    #[error("this host was removed; enroll it again if that was a mistake")]
    Removed,
    /// The program ends.
    #[error("the server is stopping")]
    Stopping,
    /// The store could not take or give what was needed.
    #[error("the server cannot reach its database")]
    Store(#[from] StoreError),
    /// The policy could not be made.
    #[error("the server cannot publish this host's policy")]
    Policy(#[from] PolicyError),
}

impl End {
    /// An error the transport or the decoder gave instead of a message.
    pub(crate) fn of_inbound(status: &Status) -> Self {
        match status.code() {
            // Of the decoder: over the size or a count limit, or not protobuf. A broken connection may say so too; then nobody hears it.
            Code::InvalidArgument | Code::OutOfRange | Code::Internal | Code::ResourceExhausted => {
                Self::Malformed("a message could not be read".to_owned())
            }
            _ => Self::Left,
        }
    }

    /// What ends the stream for the host; nothing when it is gone or closed its side in order.
    pub(crate) fn status(&self) -> Option<Status> {
        let code = match self {
            Self::Left => return None,
            Self::Malformed(_) | Self::OutOfTurn(_) => Code::InvalidArgument,
            Self::Greedy => Code::ResourceExhausted,
            Self::Displaced => Code::Aborted,
            Self::Removed => Code::PermissionDenied,
            Self::Slow | Self::Stopping | Self::Store(_) | Self::Policy(_) => Code::Unavailable,
        };
        Some(Status::new(code, self.to_string()))
    }
}

impl From<ConvertError> for End {
    fn from(error: ConvertError) -> Self {
        Self::Malformed(error.to_string())
    }
}
