//! A process in the lab, seen from outside: every wait has an end, because what runs in there may be held for ever.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::entrance;

/// How long a command in the lab may take unless its test says otherwise.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// A process in the lab; killed when dropped, and by the kernel when the thread that started it ends.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    printed: File,
    complained: File,
    started: Instant,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// By itself or by a signal.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
    /// From outside: entering the lab is included.
    pub took: Duration,
}

impl Process {
    /// Starts the command, which must be `doorward-lab`, and hands it the bytes. They go through a file: a pipe would hold the test when
    /// nobody reads.
    pub(super) fn spawn(mut command: Command, input: &[u8]) -> Self {
        let file = || tempfile::tempfile().expect("a file without a name");
        let (mut given, printed, complained) = (file(), file(), file());
        given.write_all(input).and_then(|()| given.rewind()).expect("the input is written");
        let twin = |file: &File| Stdio::from(file.try_clone().expect("a descriptor"));
        command.stdin(given).stdout(twin(&printed)).stderr(twin(&complained));
        let child = command.spawn().expect("doorward-lab starts");
        Self { what: format!("{:?}", command.get_args().collect::<Vec<_>>()), child, printed, complained, started: Instant::now() }
    }

    /// Its number, the same inside and outside.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a process id")), signal).expect("a child can be signalled");
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        text(&self.printed)
    }

    /// What it printed on standard error so far.
    #[must_use]
    pub fn complaints(&self) -> String {
        text(&self.complained)
    }

    /// Waits until it ends, at most this long; it goes on when the time is up.
    ///
    /// # Panics
    /// Never: it is a child of this process.
    pub fn within(&mut self, at_most: Duration) -> Option<Ended> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let took = self.started.elapsed();
                let (stdout, stderr) = (text(&self.printed), text(&self.complained));
                return Some(Ended { status, stdout, stderr, took });
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it does not end within [`COMMAND_LIMIT`].
    #[must_use]
    pub fn ended(self) -> Ended {
        self.ended_within(COMMAND_LIMIT)
    }

    /// Waits until it ends, with another limit.
    ///
    /// # Panics
    /// When the time is up.
    #[must_use]
    #[expect(clippy::panic, reason = "a test says what went wrong by panicking")]
    pub fn ended_within(mut self, at_most: Duration) -> Ended {
        match self.within(at_most) {
            Some(ended) => ended,
            None => panic!("{} did not end within {} s: {}", self.what, at_most.as_secs(), text(&self.complained)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Why the kernel refused to execute it; `None` when it ran.
    #[must_use]
    pub fn refusal(&self) -> Option<Errno> {
        if self.status.code() != Some(i32::from(entrance::REFUSED)) {
            return None;
        }
        let number = self.stderr.lines().find_map(|line| line.strip_prefix(entrance::REFUSAL))?;
        number.trim().parse().ok().map(Errno::from_raw)
    }

    /// Whether it ran and ended well.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// Everything in the file so far. The writer shares the place in it, which must stay where it is.
fn text(file: &File) -> String {
    let mut bytes = vec![0; file.metadata().map_or(0, |file| usize::try_from(file.len()).unwrap_or(0))];
    let read = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
