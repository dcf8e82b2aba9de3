//! A process that starts programs for another one, whose open files it has not: a child between fork and exec has them for a moment,
//! and what is open for writing does not start.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

/// Starts each program it is told, and prints what the shell says about it and how it ended.
const SCRIPT: &str = "while read -r program; do \"$program\" 2>&1; echo \"ended $?\"; done";
/// What the shell ends with when something was killed.
const KILLED: i32 = 137;

/// How one start went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It ended with 0.
    Good,
    /// It ended with 1.
    Bad,
    /// EPERM
    Denied,
    /// ETXTBSY
    Busy,
    /// It was killed.
    Killed,
    /// Nothing that can be started, or that knew how to end.
    Broken,
}

/// Such a process. It ends with its standard input, when this is dropped.
pub(super) struct Starter {
    child: Child,
    orders: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
}

impl Starter {
    /// # Errors
    /// When there is no shell.
    pub(super) fn new() -> Result<Self> {
        let mut child = Command::new("/bin/sh").args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take();
        let said = BufReader::new(child.stdout.take().context("what was asked for")?);
        Ok(Self { child, orders, said })
    }

    /// Has a program started and does not wait.
    pub(super) fn begin(&mut self, program: &Path) -> Result<()> {
        let orders = self.orders.as_mut().context("it is not over")?;
        writeln!(orders, "{}", program.display())?;
        Ok(orders.flush()?)
    }

    /// Waits until what was begun has ended.
    pub(super) fn end(&mut self) -> Result<Start> {
        let mut said = String::new();
        loop {
            let before = said.len();
            if self.said.read_line(&mut said)? == 0 {
                bail!("the shell ended: {said}");
            }
            if let Some(code) = said[before..].strip_prefix("ended ") {
                return Ok(start(code.trim().parse()?, &said[..before]));
            }
        }
    }
}

fn start(code: i32, said: &str) -> Start {
    match code {
        0 => Start::Good,
        1 => Start::Bad,
        KILLED => Start::Killed,
        _ if said.contains("Operation not permitted") => Start::Denied,
        _ if said.contains("Text file busy") => Start::Busy,
        _ => Start::Broken,
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}
