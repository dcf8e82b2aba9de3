//! Tells systemd how the service is. Without systemd every call does nothing, which is right for a terminal and for tests.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service does what it is for from now on.
pub fn ready() {
    send(NotifyState::Ready);
}

/// The service is on its way out.
pub fn stopping() {
    send(NotifyState::Stopping);
}

/// One line that `systemctl status` shows. A line break would begin another assignment of the protocol, so none goes through.
pub fn status(line: &str) {
    send(NotifyState::Status(&line.replace(char::is_control, " ")));
}

/// Progress was made: call this where work gets done, never from a timer of its own.
pub fn alive() {
    send(NotifyState::Watchdog);
}

/// How often [`alive`] is expected, if the unit sets a watchdog: half of its period.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|period| period / 2)
}

fn send(state: NotifyState<'_>) {
    // PERF: nothing but a look at the environment when there is no manager to tell.
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
