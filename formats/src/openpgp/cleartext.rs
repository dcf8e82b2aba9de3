//! The cleartext signature framework: a text that stays readable inside its signature. Only what is inside counts, so there must be
//! nothing outside; apt insists on that too.

use super::Refusal;

const BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"-----END PGP SIGNATURE-----";

/// The text exactly as it is signed, with line ends of CR and LF and none behind the last line, and the armoured signature.
///
/// # Errors
/// [`Refusal::NotSigned`].
pub fn split(message: &[u8]) -> Result<(Vec<u8>, &[u8]), Refusal> {
    let refused = |why| Err(Refusal::NotSigned(why));
    let (first, mut rest) = line_of(message);
    if first.trim_ascii_end() != BEGIN {
        return refused("it does not begin with a signed message");
    }
    loop {
        if rest.is_empty() {
            return refused("it ends before the signed text");
        }
        let (line, after) = line_of(rest);
        rest = after;
        match line.trim_ascii_end() {
            b"" => break,
            line if line.starts_with(b"Hash: ") => {}
            _ => return refused("it has a header that no signed message has"),
        }
    }
    let mut lines: Vec<&[u8]> = Vec::new();
    let signature = loop {
        if rest.is_empty() {
            return refused("it ends inside the signed text");
        }
        let (line, after) = line_of(rest);
        if line.trim_ascii_end() == SIGNATURE {
            break rest;
        }
        match line.strip_prefix(b"- ") {
            Some(line) => lines.push(trimmed(line)),
            None if line.starts_with(b"-") => return refused("a line begins with a dash that was not escaped"),
            None => lines.push(trimmed(line)),
        }
        rest = after;
    };
    let (_, mut rest) = line_of(signature);
    loop {
        if rest.is_empty() {
            return refused("it ends inside the signature");
        }
        let (line, after) = line_of(rest);
        rest = after;
        match line.trim_ascii_end() {
            END => break,
            line if line.starts_with(b"-----") => return refused("it has more than one signature block"),
            _ => {}
        }
    }
    if !rest.trim_ascii().is_empty() {
        return refused("something follows the signature");
    }
    Ok((lines.join(&b"\r\n"[..]), &signature[..signature.len() - rest.len()]))
}

/// The first line without its newline, and what follows.
fn line_of(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => (text, b""),
    }
}

/// A line as it is signed.
fn trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r')).map_or(0, |last| last + 1);
    &line[..end]
}
