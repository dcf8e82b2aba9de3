//! Entries for the journal, in its native form: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. What an event says becomes bytes where it
//! is said; a thread of its own sends them, since the socket takes only so many and then holds whoever sends.

use std::fmt::{Debug, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::lines::Lines;

/// Where the journal takes entries.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest value, in bytes; what is longer is cut. So an entry fits a datagram whatever is logged.
const VALUE_BYTES_MAX: usize = 8 << 10;
/// Longest entry, in bytes; fields that no longer fit are left out.
const ENTRY_BYTES_MAX: usize = 48 << 10;
/// Stands before names of our own fields, so that none is taken for one of the journal's.
const PREFIX: &str = "F_";

/// Turns events into entries. Never waits.
pub(super) struct Journal {
    lines: Lines,
    identifier: String,
}

/// The journal's socket. Each entry is sent to its name anew, so that a journal that was started again is found.
pub(super) struct Socket {
    socket: UnixDatagram,
    path: PathBuf,
}

/// Fields of one entry as they are gathered.
struct Entry(Vec<u8>);

impl Journal {
    pub(super) fn new(lines: Lines, identifier: impl Into<String>) -> Self {
        Self { lines, identifier: identifier.into() }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = Entry::new(*metadata.level(), &self.identifier);
        entry.put_place(metadata);
        event.record(&mut entry);
        self.lines.put(entry.0);
    }
}

impl Socket {
    /// Fails where nobody takes entries.
    pub(super) fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let socket = Self { socket: UnixDatagram::unbound()?, path: path.into() };
        // An empty entry is passed over by the journal.
        socket.send(b"")?;
        Ok(socket)
    }

    pub(super) fn send(&self, entry: &[u8]) -> io::Result<()> {
        self.socket.send_to(entry, &self.path).map(drop)
    }

    /// An entry of ours that nobody logged.
    pub(super) fn tell(&self, message: &str) -> io::Result<()> {
        let mut entry = Entry::new(Level::WARN, super::program_name().as_str());
        entry.put("MESSAGE", message);
        self.send(&entry.0)
    }
}

impl Entry {
    fn new(level: Level, identifier: &str) -> Self {
        // `LOG_ERR` to `LOG_DEBUG` of syslog(3).
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            Level::DEBUG | Level::TRACE => "7",
        };
        let mut entry = Self(Vec::with_capacity(512));
        entry.put("PRIORITY", priority);
        entry.put("SYSLOG_IDENTIFIER", identifier);
        entry
    }

    fn put_place(&mut self, metadata: &Metadata<'_>) {
        self.put("TARGET", metadata.target());
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            self.put("CODE_FILE", file);
            self.put("CODE_LINE", &line.to_string());
        }
    }

    /// Name, line feed, length as 64 bits little-endian, value, line feed: whatever bytes the value has, it ends where it says.
    fn put(&mut self, name: &str, value: &str) {
        let value = &value[..value.floor_char_boundary(VALUE_BYTES_MAX)];
        if self.0.len() + name.len() + value.len() + 10 > ENTRY_BYTES_MAX {
            return;
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.put("MESSAGE", value),
            name => self.put(&named(name), value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}

/// The journal takes upper-case letters, digits and underscores, 64 in all.
fn named(field: &str) -> String {
    let plain = field.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' });
    PREFIX.chars().chain(plain).take(64).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn fields(entry: &[u8]) -> Vec<(String, String)> {
        let (mut rest, mut fields) = (entry, Vec::new());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let name = String::from_utf8(rest[..end].to_vec()).unwrap();
            let length = u64::from_le_bytes(rest[end + 1..end + 9].try_into().unwrap());
            let value = end + 9..end + 9 + usize::try_from(length).unwrap();
            fields.push((name, String::from_utf8(rest[value.clone()].to_vec()).unwrap()));
            assert_eq!(rest[value.end], b'\n');
            rest = &rest[value.end + 1..];
        }
        fields
    }

    fn receive(journal: &UnixDatagram) -> Vec<(String, String)> {
        let mut entry = vec![0; 2 * ENTRY_BYTES_MAX];
        loop {
            let length = journal.recv(&mut entry).unwrap();
            if length > 0 {
                return fields(&entry[..length]);
            }
        }
    }

    fn bound(path: &std::path::Path) -> UnixDatagram {
        let journal = UnixDatagram::bind(path).unwrap();
        journal.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        journal
    }

    fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_event_is_an_entry_whatever_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = bound(&path);
        let lines = Lines::start_journal(Socket::open(&path).unwrap()).unwrap();
        let logging = tracing_subscriber::registry().with(Journal::new(lines, "doorward-test"));
        tracing::subscriber::with_default(logging, || {
            tracing::warn!(file = "a\nMESSAGE=b", count = 7, "two\nlines");
            tracing::info!(long = "ä".repeat(40_000), "cut");
        });
        let first = receive(&journal);
        assert_eq!((value(&first, "PRIORITY"), value(&first, "SYSLOG_IDENTIFIER")), (Some("4"), Some("doorward-test")));
        assert_eq!(
            (value(&first, "MESSAGE"), value(&first, "F_FILE"), value(&first, "F_COUNT")),
            (Some("two\nlines"), Some("a\nMESSAGE=b"), Some("7"))
        );
        let second = receive(&journal);
        assert_eq!((value(&second, "MESSAGE"), value(&second, "F_LONG").map(str::len)), (Some("cut"), Some(VALUE_BYTES_MAX)));
    }

    #[test]
    fn whoever_logs_waits_for_no_journal_and_one_that_comes_back_hears_what_was_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journal = bound(&path);
        let lines = Lines::start_journal(Socket::open(&path).unwrap()).unwrap();
        let logging = tracing_subscriber::registry().with(Journal::new(lines.clone(), "doorward-test"));
        let back = tracing::subscriber::with_default(logging, || {
            // Nobody takes them, and the socket holds only so many: a logger that waited would wait for ever.
            (0..8_192).for_each(|number| tracing::info!(number, "a storm"));
            drop(journal);
            std::fs::remove_file(&path).unwrap();
            (0..64).for_each(|number| tracing::info!(number, "to nobody"));
            lines.finish();
            let back = bound(&path);
            tracing::info!("it is back");
            back
        });
        let told = receive(&back);
        assert!(value(&told, "MESSAGE").is_some_and(|message| message.contains(" log lines were dropped")), "{told:?}");
        assert_eq!(value(&receive(&back), "MESSAGE"), Some("it is back"));
    }
}
