//! How the uplink stands, for `status` and for whoever waits for it.

/// Where the uplink is between two states of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Waiting before the next attempt, or not started.
    #[default]
    Waiting,
    /// Connecting, or waiting for the server's welcome.
    Connecting,
    /// The server has welcomed this host.
    Connected,
    /// The server does not take this host; tried again now and then, but a person has to look.
    Refused,
}

impl Phase {
    /// The phase's word in `status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Refused => "refused",
        }
    }
}

/// How the uplink stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// See [`Phase`].
    pub phase: Phase,
    /// When this phase began, microseconds since 1970, UTC.
    pub since: i64,
    /// Connections that failed in a row.
    pub attempts: u32,
    /// The server's version, once it said so; at most 64 bytes, unescaped.
    pub cms_version: Option<String>,
    /// The server's clock minus this host's, microseconds, as of the last welcome.
    pub clock_offset: Option<i64>,
    /// Why there is no connection, or why the last one ended; one line, escaped.
    pub last_error: Option<String>,
}

impl State {
    /// The server has welcomed this host.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }
}
