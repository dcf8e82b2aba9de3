//! The note beside the store: which epoch it has and how often it was opened. sled can come back empty, or older than it was,
//! without saying so; a small file that is replaced atomically and synced cannot.

use std::fs;
use std::io;
use std::path::Path;

use data_encoding::HEXLOWER;

use crate::system::durable;

const TITLE: &str = "doorward pending store 1";

/// Longest file that is looked at.
const NOTE_BYTES_MAX: u64 = 4_096;

/// What is known of the store without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    /// The store's random name.
    pub(super) epoch: [u8; 16],
    /// How often a store of this epoch was opened.
    pub(super) opened: u64,
}

impl Generation {
    /// Reads the note. `None` when there is none or it is not one: then the store's own word counts.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() > NOTE_BYTES_MAX => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?,
        };
        Ok(String::from_utf8(fs::read(path)?).ok().as_deref().and_then(Self::parse))
    }

    pub(super) fn write(self, path: &Path) -> io::Result<()> {
        let text = format!("{TITLE}\nepoch {}\nopened {}\n", HEXLOWER.encode(&self.epoch), self.opened);
        durable::replace(path, text.as_bytes(), 0o600)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != TITLE {
            return None;
        }
        let epoch = HEXLOWER.decode(lines.next()?.strip_prefix("epoch ")?.as_bytes()).ok()?;
        let opened = lines.next()?.strip_prefix("opened ")?.parse().ok()?;
        Some(Self { epoch: epoch.try_into().ok()?, opened })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_anything_else_is_no_note() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generation");
        assert_eq!(Generation::read(&path).unwrap(), None);
        let note = Generation { epoch: [7; 16], opened: 3 };
        note.write(&path).unwrap();
        assert_eq!(Generation::read(&path).unwrap(), Some(note));
        for junk in [&b""[..], b"\xff\xfe", b"doorward pending store 2\nepoch 00\nopened 1\n", &[b'x'; 10_000]] {
            fs::write(&path, junk).unwrap();
            assert_eq!(Generation::read(&path).unwrap(), None);
        }
    }
}
