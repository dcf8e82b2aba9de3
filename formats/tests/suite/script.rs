//! The first line of scripts, held against a transcript of what the kernel does with it.

use doorward_formats::{Kind, Script};
use proptest::prelude::*;

use crate::sample::kind;

fn script(content: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    match kind(content) {
        Some(Kind::Script(Script { interpreter, argument })) => Some((interpreter, argument)),
        Some(other) => panic!("{other:?} instead of a script"),
        None => None,
    }
}

/// `#!`, blanks, a path of `name_bytes` bytes, then `behind`.
fn line(blanks: usize, name_bytes: usize, behind: &str) -> Vec<u8> {
    format!("#!{}/{}{behind}", " ".repeat(blanks), "x".repeat(name_bytes - 1)).into_bytes()
}

#[test]
fn the_first_line_names_an_interpreter_and_at_most_one_argument() {
    for (content, interpreter, argument) in [
        (&b"#!/bin/sh\necho"[..], &b"/bin/sh"[..], None),
        (b"#! \t /usr/bin/env \t python3 -I \t \n", b"/usr/bin/env", Some(&b"python3 -I"[..])),
        (b"#!/bin/sh", b"/bin/sh", None),
        (b"#!a", b"a", None),
        (b"#!/bin/sh\0-x\n", b"/bin/sh", None),
        (b"#!/bin/sh -x\0y\n", b"/bin/sh", Some(b"-x")),
        (b"#!/bin/sh\r\n", b"/bin/sh\r", None),
        (b"#!/bin/\xff\x1b[2J\n", b"/bin/\xff\x1b[2J", None),
        (b"#!/bin/sh\nPK\x05\x06\0\0", b"/bin/sh", None),
    ] {
        let expected = Some((interpreter.to_vec(), argument.map(<[u8]>::to_vec)));
        assert_eq!(script(content), expected, "{}", content.escape_ascii());
    }
}

#[test]
fn what_the_kernel_refuses_is_no_script() {
    for content in
        [&b"#!"[..], b"#!\n/bin/sh\n", b"#! \t\n", b"#!\0/bin/sh\n", b"#", b" #!/bin/sh\n", b"\xef\xbb\xbf#!/bin/sh\n", b"# !/bin/sh\n"]
    {
        assert_eq!(script(content), None, "{}", content.escape_ascii());
    }
    assert_eq!(script(&[b"#!".to_vec(), vec![b' '; 300], b"/bin/sh\n".to_vec()].concat()), None);
}

#[test]
fn a_path_that_may_be_cut_is_refused_a_cut_argument_is_not() {
    assert_eq!(script(&line(0, 253, "\n")).map(|(name, _)| name.len()), Some(253));
    assert_eq!(script(&line(0, 253, " -x\n")).map(|(name, _)| name.len()), Some(253));
    assert_eq!(script(&line(0, 254, "\n")), None);
    assert_eq!(script(&line(4, 250, "\n")), None);
    assert_eq!(script(&line(0, 254, "")), None, "as long as the buffer, the file ends there");
    assert_eq!(script(&line(0, 253, "")).map(|(name, _)| name.len()), Some(253), "one NUL is left behind it");
    let (_, argument) = script(&line(0, 10, &format!(" {}\n", "y".repeat(300)))).expect("the path is whole");
    assert_eq!(argument.map(|argument| argument.len()), Some(255 - 2 - 10 - 1));
}

/// `load_script` of the kernel's `fs/binfmt_script.c`, step by step in its own terms; `None` is `ENOEXEC`.
fn kernel(file: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let mut buf = [0_u8; 256];
    let read = file.len().min(256);
    buf[..read].copy_from_slice(&file[..read]);
    let spacetab = |c: u8| c == b' ' || c == b'\t';
    let next_non_spacetab = |buf: &[u8], first: usize, last: usize| (first..=last).find(|at| !spacetab(buf[*at]));
    let next_terminator = |buf: &[u8], first: usize, last: usize| (first..=last).find(|at| spacetab(buf[*at]) || buf[*at] == 0);
    let string = |buf: &[u8], at: usize| buf[at..].split(|c| *c == 0).next().unwrap_or_default().to_vec();

    if &buf[..2] != b"#!" {
        return None;
    }
    let buf_end = 255;
    let strnchr = buf.iter().position(|c| *c == b'\n' || *c == 0).filter(|at| buf[*at] == b'\n');
    let mut i_end = match strnchr {
        Some(at) => at,
        None => {
            let name = next_non_spacetab(&buf, 2, buf_end)?;
            next_terminator(&buf, name, buf_end)?;
            buf_end
        }
    };
    while spacetab(buf[i_end - 1]) {
        i_end -= 1;
    }
    let i_name = next_non_spacetab(&buf, 2, i_end).filter(|at| *at != i_end)?;
    let i_sep = next_terminator(&buf, i_name, i_end);
    let i_arg = i_sep.filter(|at| buf[*at] != 0).and_then(|at| next_non_spacetab(&buf, at, i_end));
    buf[i_end] = 0;
    let argument = i_arg.map(|at| string(&buf, at));
    if let (Some(sep), Some(_)) = (i_sep, i_arg) {
        buf[sep] = 0;
    }
    Some((string(&buf, i_name), argument))
}

proptest! {
    #[test]
    fn every_first_line_is_read_as_the_kernel_reads_it(
        text in proptest::collection::vec(prop_oneof![
            4 => Just(b' '), 1 => Just(b'\t'), 1 => Just(b'\n'), 1 => Just(0_u8), 8 => Just(b'/'), 4 => any::<u8>(),
        ], 0..24),
        filler in prop_oneof![Just(b'x'), Just(b' ')],
        filler_at in 0..24_usize,
        filler_bytes in prop_oneof![Just(0_usize), 200..260_usize],
    ) {
        let at = filler_at.min(text.len());
        let file = [b"#!", &text[..at], &vec![filler; filler_bytes], &text[at..]].concat();
        // An empty path, and blanks at the ends of an argument, cannot matter to whoever asks which interpreter runs.
        let expected = kernel(&file).filter(|(name, _)| !name.is_empty()).map(|(name, argument)| {
            let blank = |c: &u8| *c == b' ' || *c == b'\t';
            let argument = argument.map(|argument| {
                let end = argument.iter().rposition(|c| !blank(c)).map_or(0, |last| last + 1);
                argument[..end].to_vec()
            });
            (name, argument.filter(|argument| !argument.is_empty()))
        });
        prop_assert_eq!(script(&file), expected);
    }
}
