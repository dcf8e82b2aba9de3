//! The simulator's binary as a child process, for tests that want the real thing.
//!
//! The child is told to end with its stdin, so it does not outlive a test that is killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// From start to bound ports; a loaded machine takes a second.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// From the request to stop to the end.
const EXIT_DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// The one line the binary prints, when both ports are bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// `https://127.0.0.1:PORT`, without a path.
    pub url: String,
    /// PEM file that clients must be told to trust.
    pub ca: PathBuf,
    /// `http://127.0.0.1:PORT`, without a path.
    pub control_url: String,
    /// The entitled account.
    pub user: String,
    /// Holds the password and a newline.
    pub password_file: PathBuf,
}

/// A running simulator binary; killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ready: Ready,
}

impl Process {
    /// Runs the binary on free loopback ports and waits for its line.
    pub fn spawn(program: &Path, state_dir: &Path, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("--state-dir")
            .arg(state_dir)
            .arg("--exit-with-stdin")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        match ready(&mut child) {
            Ok(ready) => Ok(Self { child, ready }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Where it listens.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Sends SIGTERM and waits for the end, at most ten seconds.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let id = i32::try_from(self.child.id()).context("a process id that is none")?;
        kill(Pid::from_raw(id), Signal::SIGTERM).context("cannot send SIGTERM")?;
        self.wait()
    }

    /// Closes its stdin and waits for the end, at most ten seconds.
    pub fn close_stdin(mut self) -> Result<ExitStatus> {
        drop(self.child.stdin.take());
        self.wait()
    }

    fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + EXIT_DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("cannot wait for the simulator")? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        bail!("the simulator did not end within {EXIT_DEADLINE:?}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the child has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready(child: &mut Child) -> Result<Ready> {
    let stdout = child.stdout.take().context("stdout was not piped")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).map(|_| line);
        // The receiver is gone when the deadline has passed.
        let _ = sender.send(read);
    });
    let line = receiver
        .recv_timeout(READY_DEADLINE)
        .context("the simulator printed nothing in time")?
        .context("cannot read the simulator's line")?;
    serde_json::from_str(&line).with_context(|| format!("the simulator said {line:?} instead of where it listens"))
}
