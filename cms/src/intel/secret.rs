//! A password or token in memory: read from a file, shown to nobody, overwritten when dropped.
//! Whoever needs the text has to say so with [`Secret::expose`], so that every place where it leaves can be found by that word.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

/// Longest secret taken from a file, in bytes; what is longer is some other file.
const SECRET_BYTES_MAX: u64 = 4096;

/// Permission bits of everybody. Others of the file's group may be meant to read it; everybody never is.
const EVERYBODY: u32 = 0o007;

/// Why a file does not hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The operator's doing: a wrong path or wrong permissions.
    #[error("cannot read the secret in {path}: {source}; check the path and that the service's user may read it", path = path.display())]
    Unreadable {
        /// The file that was asked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operator's doing: whoever has an account on the machine may know it by now.
    #[error("the secret in {path} can be read or written by everybody; run `chmod o= {path}` and ask yourself who did", path = path.display())]
    OpenToEverybody {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// The operator's doing: an empty, binary or huge file.
    #[error("{path} holds no secret: expected one line of text of at most {SECRET_BYTES_MAX} bytes", path = path.display())]
    NotALine {
        /// The file that was asked for.
        path: PathBuf,
    },
}

/// Text that `Debug` hides. It has no `Display` and no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes text that is already in memory, as from a configuration value.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads one line; the line end is not part of the secret.
    ///
    /// # Errors
    /// When the file cannot be read, can be read by everybody, or holds anything but one line of text.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        // A pipe has the mode of whoever made it and is gone once read.
        if metadata.is_file() && metadata.permissions().mode() & EVERYBODY != 0 {
            return Err(SecretError::OpenToEverybody { path: path.to_owned() });
        }
        let mut text = String::new();
        match file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(SecretError::NotALine { path: path.to_owned() }),
            Err(error) => return Err(unreadable(error)),
        }
        let secret = Self(text);
        let line = secret.0.strip_suffix('\n').unwrap_or(&secret.0);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() || line.chars().any(char::is_control) || secret.0.len() as u64 > SECRET_BYTES_MAX {
            return Err(SecretError::NotALine { path: path.to_owned() });
        }
        Ok(Self(line.to_owned()))
    }

    /// The text itself, for the one place that sends or compares it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Keeps the fill from being removed as a store nobody reads.
        std::hint::black_box(&bytes);
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_secret_is_one_line_without_its_end() {
        for content in [&b"s3cret"[..], b"s3cret\n", b"s3cret\r\n"] {
            assert_eq!(Secret::from_file(file_with(content).path()).unwrap().expose(), "s3cret");
        }
    }

    #[test]
    fn anything_else_is_refused_without_being_quoted() {
        let huge = vec![b'x'; SECRET_BYTES_MAX as usize + 2];
        for content in [&b""[..], b"\n", b"two\nlines", b"bin\xffary", b"esc\x1b[2J", &huge] {
            let error = Secret::from_file(file_with(content).path()).unwrap_err();
            assert!(matches!(error, SecretError::NotALine { .. }), "{error}");
            assert!(!error.to_string().contains("lines") && !error.to_string().contains("\x1b"));
        }
        assert!(matches!(Secret::from_file(Path::new("/nonexistent/secret")), Err(SecretError::Unreadable { .. })));
    }

    #[test]
    fn a_file_everybody_can_read_is_refused_and_one_of_a_group_is_not() {
        let file = file_with(b"s3cret");
        for (mode, taken) in [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o604, false), (0o602, false)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            let read = Secret::from_file(file.path());
            assert_eq!(read.is_ok(), taken, "{mode:o}: {read:?}");
            assert!(taken || matches!(read, Err(SecretError::OpenToEverybody { .. })));
        }
    }

    #[test]
    fn debug_output_never_shows_it() {
        #[derive(Debug)]
        struct Account {
            #[expect(dead_code, reason = "read by Debug")]
            password: Option<Secret>,
        }
        let shown = format!("{:?} {:#?}", Secret::new("s3cret"), Account { password: Some(Secret::new("s3cret")) });
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
