//! Compiled Python by its magic number: a 16-bit counter that every change of the bytecode moves, then CR LF so that a
//! transfer in text mode spoils it. `Lib/importlib/_bootstrap_external.py` and PyPy's `interpreter/pycode.py` list them.

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
