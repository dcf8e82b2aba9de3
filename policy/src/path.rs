//! A file's path as the kernel has it: any bytes but NUL. Escaped wherever it is shown, so that a name can neither
//! break a line nor steer a terminal; the escaped form parses back to the same bytes.

use std::fmt;
use std::str::FromStr;

/// Longest path kept, in bytes (Linux `PATH_MAX` without the NUL). Longer ones are cut where they enter the program.
pub const PATH_BYTES_MAX: usize = 4095;

/// A path's raw bytes; `Display` and serde use the escaped form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PathBytes(Vec<u8>);

/// Why a text is not an escaped path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A backslash that starts none of `\\ \n \t \r \xNN`.
    #[error("bad escape at byte {0}: write a backslash as \\\\ and a raw byte as \\xNN")]
    Escape(usize),
    /// More than [`PATH_BYTES_MAX`] bytes once unescaped.
    #[error("path longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
}

impl PathBytes {
    /// Keeps the first [`PATH_BYTES_MAX`] bytes, which is all a path of the kernel can have.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let mut bytes = bytes.into();
        bytes.truncate(PATH_BYTES_MAX);
        Self(bytes)
    }

    /// The raw bytes, for the kernel, wires and stores.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Absolute and written the one way a mount table has it: no empty, `.` or `..` component, no slash at the end, no NUL.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
        self.0 == b"/" || self.0.strip_prefix(b"/").is_some_and(|names| names.split(|byte| *byte == b'/').all(is_name))
    }

    /// Bytes after the last slash; the whole path when there is none.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

/// Characters that look like nothing, or that turn what follows around: the ways a name lies on a screen.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\r' => f.write_str("\\r")?,
                    _ if is_deceptive(character) => {
                        let mut utf8 = [0; 4];
                        for byte in character.encode_utf8(&mut utf8).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    _ => fmt::Write::write_char(f, character)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for PathBytes {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let bytes = text.as_bytes();
        let mut path = Vec::with_capacity(bytes.len().min(PATH_BYTES_MAX));
        let mut at = 0;
        while at < bytes.len() {
            let (byte, width) = match bytes[at] {
                b'\\' => unescape(&bytes[at + 1..]).ok_or(PathError::Escape(at))?,
                plain => (plain, 1),
            };
            path.push(byte);
            at += width;
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(path))
    }
}

/// The byte an escape stands for and the escape's width with its backslash.
fn unescape(after_backslash: &[u8]) -> Option<(u8, usize)> {
    match after_backslash {
        [b'\\', ..] => Some((b'\\', 2)),
        [b'n', ..] => Some((b'\n', 2)),
        [b't', ..] => Some((b'\t', 2)),
        [b'r', ..] => Some((b'\r', 2)),
        [b'x', high, low, ..] => {
            let digits = [*high, *low];
            let text = std::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            Some((u8::from_str_radix(text, 16).ok()?, 4))
        }
        _ => None,
    }
}

crate::text::as_text!(PathBytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_path_is_written_in_one_way_only() {
        for normal in ["/", "/home", "/srv/tools", "/...", "/.a/b..", "/a b\n"] {
            assert!(PathBytes::new(normal).is_normal(), "{normal:?}");
        }
        for other in ["", "home", "//", "/home/", "//home", "/a//b", "/.", "/..", "/a/./b", "/a/..", "/a\0b"] {
            assert!(!PathBytes::new(other).is_normal(), "{other:?}");
        }
    }
}
