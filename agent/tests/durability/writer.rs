//! The writer process: adds findings without end, releases old ones as the management server would, and says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::story::{Promises, found, number, numbers, open};

const FOLDER: &str = "DOORWARD_TEST_WRITER_FOLDER";

/// The longest a writer may take to keep the next reports.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reports a writer lets pile up before it releases most of them.
const PILE: u32 = 400;

/// A writer at work.
pub(crate) struct Writer {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) promises: Promises,
}

impl Writer {
    /// Starts one on a store, going on after `promises`.
    pub(crate) fn start(folder: &Path, promises: Promises) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer::write_until_killed", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .env("DOORWARD_TEST_WRITER_KEPT", promises.kept.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines, promises }
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Listens until the writer was promised something `times` times.
    pub(crate) fn hear(&mut self, times: u64) {
        let (mut heard, deadline) = (0, Instant::now() + PATIENCE);
        while heard < times {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0 && Instant::now() < deadline, "the writer stopped or is stuck");
            self.promises.hear(line.trim_end());
            heard += u64::from(line.starts_with("kept "));
        }
    }

    /// Ends the writer at once and gives every promise it still had on its lips.
    pub(crate) fn kill(mut self) -> Promises {
        self.child.kill().unwrap();
        for line in self.lines.by_ref().lines() {
            self.promises.hear(&line.unwrap());
        }
        self.child.wait().unwrap();
        std::mem::take(&mut self.promises)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "it is the other process of the stories, and does nothing on its own"]
fn write_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let kept = std::env::var("DOORWARD_TEST_WRITER_KEPT").unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(write(Path::new(&folder), kept));
}

async fn write(folder: &Path, mut kept: u32) {
    let opened = open(folder, 0);
    assert_eq!(opened.recovered, []);
    let pending = opened.pending;
    // What was being added at the last cut may be there without a promise.
    kept = numbers(&pending).await.last().copied().unwrap_or(0).max(kept);
    let mut sizes = [1, 1, 7, 2, 60].into_iter().cycle();
    loop {
        let size = sizes.next().unwrap();
        pending.add_many((kept + 1..=kept + size).map(found).collect()).await.unwrap();
        kept += size;
        say(&format!("kept {kept}"));
        if pending.gauges().records > u64::from(PILE) {
            let reports = pending.batch(0, 300, usize::MAX).await.unwrap();
            let last = reports.last().unwrap();
            say(&format!("releasing {}", number(last)));
            pending.acknowledge(last.sequence).await.unwrap();
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}
