//! Compiled Python. Its magic number is a 16-bit counter that every change of the bytecode moves, then CR LF so that a transfer in text mode
//! spoils it. `Lib/importlib/_bootstrap_external.py` and PyPy's `interpreter/pycode.py` list them, and say what follows and how the files
//! are named (PEP 552, PEP 3147).

/// Bytes of the header of a `.pyc` since Python 3.7.
pub const BYTECODE_HEADER_BYTES: usize = 16;

/// The source a `.pyc` says it was compiled from, as Python compares it: when they differ, Python compiles anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceStamp {
    /// Low 32 bits of the source's modification time, in seconds.
    pub modified_s: u32,
    /// Low 32 bits of the source's size.
    pub size: u32,
}

/// Whether a file starts with the magic number of a known line of Pythons.
pub(crate) fn has_magic(head: &[u8]) -> bool {
    let Some(&[low, high, b'\r', b'\n']) = head.first_chunk() else { return false };
    match u16::from_le_bytes([low, high]) {
        // CPython 3: 3000 for 3.0, then upwards, a new fifty for every release.
        3000..=4999 => true,
        // CPython 1.5 to 2.7: year - 1995, month, day.
        20121 | 50428 | 50823 | 60202 | 60717 | 62000..=62299 => true,
        // PyPy for Python 3, in steps of sixteen.
        48..=1023 => low % 16 == 0,
        _ => false,
    }
}

impl SourceStamp {
    /// Reads the header of a `.pyc` of CPython 3.7 or later; `None` for any other, and for one that names its source by a hash, which may not
    /// even be compared when it is loaded.
    #[must_use]
    pub fn of_header(header: &[u8; BYTECODE_HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let number = u16::from_le_bytes([header[0], header[1]]);
        let is_since_3_7 = (3390..=4999).contains(&number) && header[2..4] == *b"\r\n";
        (is_since_3_7 && word(4) == 0).then(|| Self { modified_s: word(8), size: word(12) })
    }
}

/// The name of the source beside the folder `__pycache__` for a `.pyc` in it, by the rule of `importlib.util.source_from_cache`:
/// `x.cpython-311.pyc` and `x.cpython-311.opt-2.pyc` come from `x.py`. `None` for any other name.
#[must_use]
pub fn bytecode_source(name: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    let (module, tag) = match parts[..] {
        [module, tag, b"pyc"] => (module, tag),
        [module, tag, level, b"pyc"] if level.strip_prefix(b"opt-").is_some_and(is_word) => (module, tag),
        _ => return None,
    };
    let is_plain = !module.is_empty() && !module.contains(&b'/') && !module.contains(&0) && !tag.is_empty();
    is_plain.then(|| [module, b".py"].concat())
}

fn is_word(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_alphanumeric)
}
