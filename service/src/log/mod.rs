//! Logging for a service: to the journal when systemd collects it, else to standard error as lines or as JSON.
//! Names that came from outside are escaped by whoever logs them (`PathBytes` shows itself escaped).

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod journal;
mod lines;

use journal::{Journal, Socket};
use lines::Lines;

/// The `[log]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directives of tracing's `EnvFilter`, as in `info` or `info,doorward_agent::uplink=debug`.
    pub filter: String,
    /// How lines look where there is no journal.
    pub format: Format,
}

/// The look of log lines on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self { filter: "info".into(), format: Format::Human }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one: the person who wrote the configuration has to mend it.
    #[error("log filter {filter:?} is not understood; write it as in \"info,doorward_agent::uplink=debug\"")]
    Filter {
        /// What was written.
        filter: String,
        /// What the parser said.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The thread that writes could not be started.
    #[error("logging cannot be started: {0}")]
    Thread(#[source] std::io::Error),
    /// Logging was set up before in this process.
    #[error("logging was set up twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Logging of this process. To be dropped at its end: the last lines are written then.
#[derive(Debug)]
#[must_use = "dropped at once, it writes what was logged so far and nothing is lost, but the last lines of the program may be"]
pub struct Log(Lines);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Sets up logging for the whole process. Standard error, or the journal, is written by a thread of its own, so that whoever logs never
/// waits for it.
///
/// # Errors
/// When the filter cannot be parsed, or logging was set up already.
pub fn init(settings: &Settings) -> Result<Log, LogError> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|source| LogError::Filter { filter: settings.filter.clone(), source })?;
    let registry = tracing_subscriber::registry().with(filter);
    let is_collected = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
    if let Some(socket) = is_collected.then(|| Socket::open(journal::SOCKET).ok()).flatten() {
        let lines = Lines::start_journal(socket).map_err(LogError::Thread)?;
        registry.with(Journal::new(lines.clone(), program_name())).try_init().map_err(LogError::Twice)?;
        return Ok(Log(lines));
    }
    let lines = Lines::start(std::io::stderr()).map_err(LogError::Thread)?;
    let writer = lines.clone();
    let result = match settings.format {
        Format::Json => registry.with(tracing_subscriber::fmt::layer().json().with_writer(writer)).try_init(),
        Format::Human => {
            let colours = std::io::stderr().is_terminal();
            registry.with(tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(writer)).try_init()
        }
    };
    result.map_err(LogError::Twice)?;
    Ok(Log(lines))
}

/// What this program was started as, without folders.
fn program_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    std::path::Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether standard error is the journal: the variable names its device and inode, and children inherit the variable even when
/// their standard error goes elsewhere.
fn is_journal(stream: Option<&str>) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream.is_some_and(|stream| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::{Settings, init, is_journal};

    #[test]
    fn an_inherited_variable_is_not_the_journal() {
        assert!(!is_journal(None));
        assert!(!is_journal(Some("1:2")));
        let stderr = std::fs::metadata("/proc/self/fd/2").unwrap();
        assert!(is_journal(Some(&format!("{}:{}", stderr.dev(), stderr.ino()))));
    }

    #[test]
    fn a_filter_that_is_none_is_told() {
        let error = init(&Settings { filter: "doorward=loud".into(), ..Settings::default() }).unwrap_err().to_string();
        assert!(error.contains("doorward=loud"), "{error}");
    }
}
