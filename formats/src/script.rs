//! The first line of a script, by the rule of the kernel's `fs/binfmt_script.c` (since Linux 5.1), which is stricter and
//! odder than what shells do: only 256 bytes are looked at, a path that may be cut is refused, a cut argument is not.

/// What the kernel's script loader answers to.
pub(crate) const MAGIC: &[u8] = b"#!";

/// The kernel's `BINPRM_BUF_SIZE`: bytes of a file that are known when its format is chosen.
const KERNEL_BUFFER_BYTES: usize = 256;

/// Longest interpreter and argument together: the kernel's buffer without `#!` and its last byte.
pub const INTERPRETER_BYTES_MAX: usize = KERNEL_BUFFER_BYTES - 3;

/// What the kernel would start instead of the script, at most [`INTERPRETER_BYTES_MAX`] bytes in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Path as written, relative ones included; never empty, any bytes but NUL, blank and newline.
    pub interpreter: Vec<u8>,
    /// The rest of the line as the one argument the kernel makes of it, blanks around it removed.
    pub argument: Option<Vec<u8>>,
}

/// `None` where the kernel would refuse the file.
pub(crate) fn read(head: &[u8]) -> Option<Script> {
    // Like the kernel's buffer, which is padded with NULs behind a short file.
    let mut buffer = [0; KERNEL_BUFFER_BYTES];
    let present = head.len().min(KERNEL_BUFFER_BYTES);
    buffer[..present].copy_from_slice(&head[..present]);
    let text = buffer.strip_prefix(MAGIC)?;

    let line = match text.iter().position(|byte| matches!(byte, b'\n' | 0)) {
        Some(end) => &text[..end],
        // Neither newline nor NUL: the line goes on behind the buffer. Only when something follows the path is the path
        // known to be whole; the buffer's last byte is overwritten with the string's NUL.
        None => {
            without_leading_blanks(text).iter().position(is_blank)?;
            &text[..INTERPRETER_BYTES_MAX]
        }
    };
    let line = without_leading_blanks(line);
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(end);
    let argument = without_trailing_blanks(without_leading_blanks(rest));
    (!interpreter.is_empty())
        .then(|| Script { interpreter: interpreter.to_vec(), argument: (!argument.is_empty()).then(|| argument.to_vec()) })
}

const fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn without_leading_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    &text[start..]
}

fn without_trailing_blanks(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(0, |last| last + 1);
    &text[..end]
}
