//! Shows how far a scan is: a bar with rate and time left on a terminal, a line every few seconds anywhere else.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::scan::{Progress, Reading};

/// How often a terminal is drawn anew.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// A thread that shows a scan's progress until it is told to end.
pub(super) struct Shown {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shown {
    /// Starts showing on standard error. Where no thread can be had the scan goes on unseen.
    pub(super) fn start(progress: &Arc<Progress>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (progress, flag) = (Arc::clone(progress), Arc::clone(&ended));
        let show = move || if std::io::stderr().is_terminal() { draw(&progress, &flag) } else { write_lines(&progress, &flag) };
        Self { ended, thread: thread::Builder::new().name("progress".into()).spawn(show).ok() }
    }

    /// Takes the bar away.
    pub(super) fn end(mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn draw(progress: &Progress, ended: &AtomicBool) {
    let began = Instant::now();
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    while !ended.load(Ordering::Relaxed) {
        let reading = progress.reading();
        bar.set_length(reading.files_expected.max(reading.files));
        bar.set_position(reading.files);
        bar.set_message(line(&reading, began.elapsed()));
        thread::park_timeout(REDRAW_INTERVAL);
    }
    bar.finish_and_clear();
}

fn write_lines(progress: &Progress, ended: &AtomicBool) {
    let began = Instant::now();
    loop {
        thread::park_timeout(LINE_INTERVAL);
        if ended.load(Ordering::Relaxed) {
            return;
        }
        eprintln!("scan: {}", line(&progress.reading(), began.elapsed()));
    }
}

/// Files, what was read, the pace, and what is left of it.
fn line(reading: &Reading, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = HumanCount((reading.files as f64 / seconds) as u64);
    let left = reading.seconds_left(elapsed).map_or_else(String::new, |left| format!(", {left} s left"));
    let (files, unresolved, read) = (HumanCount(reading.files), HumanCount(reading.unresolved), HumanBytes(reading.digested_bytes));
    format!("{files} files, {unresolved} unresolved, {read} read, {rate} files/s{left}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::line;
    use crate::scan::Reading;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let reading = Reading { files: 5_000, files_expected: 20_000, unresolved: 12, digested_bytes: 1 << 20, ..Reading::default() };
        assert_eq!(line(&reading, Duration::from_secs(2)), "5,000 files, 12 unresolved, 1.00 MiB read, 2,500 files/s, 6 s left");
    }
}
