//! Removes the demo's folder and ends its programs however the demo itself ends, by Ctrl-C or by a kill included.
//!
//! A small shell waits for the end of its standard input, which this process holds open: when we are gone, it wakes.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::step::Outcome;

/// Name of the file in the folder that lists the process ids to end.
pub(crate) const PIDS: &str = "pids";

const SCRIPT: &str = r#"trap "" INT TERM HUP
cat >/dev/null
for pid in $(cat "$1/pids" 2>/dev/null); do kill -TERM "$pid" 2>/dev/null; done
tries=0
for pid in $(cat "$1/pids" 2>/dev/null); do
    while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -KILL "$pid" 2>/dev/null
done
rm -rf -- "$1""#;

pub(crate) struct Janitor(Child);

impl Janitor {
    /// Watches over a folder from now on.
    pub(crate) fn hire(folder: &Path) -> Outcome<Self> {
        let shell = Command::new("sh").args(["-c", SCRIPT, "janitor"]).arg(folder).stdin(Stdio::piped()).spawn()?;
        Ok(Self(shell))
    }

    /// Lets it clean up now, and waits until it has.
    pub(crate) fn clean(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
