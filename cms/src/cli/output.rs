//! Where a command's outcome goes: text for people, or one JSON document on the last line; progress beside it on standard error.

use std::io::Write;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::Failure;
use super::terminal::{json_line, shown};

/// Both streams of a command.
pub(super) struct Output<'w> {
    pub(super) json: bool,
    /// Standard error is a screen: a line there can be written over.
    pub(super) screen: bool,
    pub(super) out: &'w mut dyn Write,
    pub(super) log: &'w mut dyn Write,
}

/// A page of a list, as far as commands show it.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

impl Output<'_> {
    /// Shows an answer of the server, as it is or as `text` makes it readable.
    pub(super) fn show<T: DeserializeOwned>(&mut self, answer: Value, text: impl FnOnce(T) -> String) -> Result<(), Failure> {
        if self.json {
            return self.line(&json_line(&answer));
        }
        let text = text(serde_json::from_value(answer).map_err(Failure::answer)?);
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(|error| Failure::output(&error))
    }

    /// Shows a page, with how to see the next one.
    pub(super) fn page<T: DeserializeOwned>(&mut self, answer: Value, text: impl FnOnce(&[T]) -> String) -> Result<(), Failure> {
        self.show(answer, |page: Page<T>| {
            let more = page.next.map(|next| format!("\nmore: repeat the command with --after {}\n", shown(&next)));
            text(&page.items) + &more.unwrap_or_default()
        })
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").and_then(|()| self.out.flush()).map_err(|error| Failure::output(&error))
    }

    /// Says how far something is: over the last such line on a screen, as a line of its own otherwise.
    pub(super) fn progress(&mut self, text: &str) {
        let text = shown(text);
        // Progress nobody can read is no reason to stop.
        let _ = if self.screen { write!(self.log, "\r\x1b[K{text}") } else { writeln!(self.log, "{text}") };
        let _ = self.log.flush();
    }

    /// Ends a line that was written over.
    pub(super) fn progress_done(&mut self) {
        if self.screen {
            let _ = self.log.write_all(b"\r\x1b[K");
            let _ = self.log.flush();
        }
    }
}

/// One sentence, escaped as a whole.
pub(super) fn sentence(text: impl AsRef<str>) -> String {
    shown(text.as_ref()) + "\n"
}
