//! Standard error, or the journal's socket, behind a bounded queue: a pipe that nobody reads, a journal that stands still, or a disk
//! that does not answer, costs log lines and holds up nobody who logs.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::journal::Socket;

/// Lines that may wait to be written; what comes on top is dropped and counted.
const LINES_MAX: usize = 1_024;
/// Longest the end of the program waits for the last lines.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Where lines go in. Never waits.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// Everything before it is written once the other end hears of it.
    Flush(SyncSender<()>),
}

/// Where they come out.
trait Target: Send + 'static {
    fn put(&mut self, line: &[u8]) -> io::Result<()>;
    /// Says something that nobody logged.
    fn tell(&mut self, message: &str) -> io::Result<()>;
}

struct Stream<W>(W);

impl<W: Write + Send + 'static> Target for Stream<W> {
    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)
    }

    fn tell(&mut self, message: &str) -> io::Result<()> {
        writeln!(self.0, "{message}")
    }
}

impl Target for Socket {
    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        self.send(line)
    }

    fn tell(&mut self, message: &str) -> io::Result<()> {
        Self::tell(self, message)
    }
}

impl Lines {
    /// Starts the thread that writes to a stream.
    ///
    /// # Errors
    /// The kernel would not give a thread.
    pub(super) fn start(stream: impl Write + Send + 'static) -> io::Result<Self> {
        Self::start_for(Stream(stream))
    }

    /// Starts the thread that sends to the journal.
    ///
    /// # Errors
    /// As [`Lines::start`].
    pub(super) fn start_journal(journal: Socket) -> io::Result<Self> {
        Self::start_for(journal)
    }

    fn start_for(target: impl Target) -> io::Result<Self> {
        let (queue, items) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        thread::Builder::new().name("log".into()).spawn(move || write(&items, &counted, target))?;
        Ok(Self { queue, dropped })
    }

    /// Has a whole line, or entry, written soon; what finds no room is dropped and counted.
    pub(super) fn put(&self, line: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Item::Line(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was logged so far is written, for at most a second.
    pub(super) fn finish(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Item::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_LIMIT);
        }
    }
}

impl Write for Lines {
    /// tracing hands over one whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Writes until nobody can log any more. What cannot be written is gone, and told as soon as something can.
fn write(items: &Receiver<Item>, dropped: &AtomicU64, mut target: impl Target) {
    while let Ok(item) = items.recv() {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 && target.tell(&format!("{lost} log lines were dropped, because nothing took them")).is_err() {
            dropped.fetch_add(lost, Ordering::Relaxed);
        }
        match item {
            Item::Line(line) if target.put(&line).is_err() => drop(dropped.fetch_add(1, Ordering::Relaxed)),
            Item::Line(_) => {}
            Item::Flush(done) => drop(done.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Instant;

    use super::*;

    #[test]
    fn whoever_logs_never_waits_and_what_was_dropped_is_told() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::start(writer).unwrap();
        let line = vec![b'x'; 4_096];
        let started = Instant::now();
        for _ in 0..2 * LINES_MAX {
            lines.write_all(&line).unwrap();
        }
        assert!(lines.dropped.load(Ordering::Relaxed) > 0, "a pipe holds less");
        // Only now does anybody read; a writer that waited would have waited for ever.
        assert!(started.elapsed() < Duration::from_secs(60));
        let read = thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        drop(lines);
        assert!(read.join().unwrap().contains(" log lines were dropped"));
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::start(writer).unwrap();
        lines.write_all(b"the end\n").unwrap();
        lines.finish();
        let mut text = [0; 8];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"the end\n");
    }
}
