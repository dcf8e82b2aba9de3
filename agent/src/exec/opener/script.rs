//! Whom the first line of a script names: a shell that reads a script of Perl's does not run it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use doorward_formats::{Guess, HEAD_BYTES, Kind, Script};
use doorward_policy::PathBytes;

/// Starts whatever it finds by name.
const ENV: &[u8] = b"env";

/// The name of the program that the kernel would have run the script.
pub(super) fn program_of(file: &File) -> Option<Vec<u8>> {
    let mut head = [0; HEAD_BYTES];
    let bytes = file.read_at(&mut head, 0).ok()?;
    let Guess::Certain(Kind::Script(script)) = Kind::of_head(&head[..bytes]) else { return None };
    Some(named_by(script))
}

fn named_by(script: Script) -> Vec<u8> {
    let program = PathBytes::new(script.interpreter).file_name().to_vec();
    if program != ENV {
        return program;
    }
    let words = script.argument.unwrap_or_default();
    let is_program = |word: &&[u8]| !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'=');
    let word = words.split(|byte| byte.is_ascii_whitespace()).find(is_program).unwrap_or_default();
    PathBytes::new(word).file_name().to_vec()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_first_line_names_a_program_or_has_it_looked_for() {
        let program = |text: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text).unwrap();
            program_of(&file).map(|name| String::from_utf8_lossy(&name).into_owned())
        };
        assert_eq!(program(b"#!/bin/sh -e\n").as_deref(), Some("sh"));
        assert_eq!(program(b"#! /usr/bin/env -S X=1 /opt/python3 -u\n").as_deref(), Some("python3"));
        assert_eq!(program(b"#!/usr/bin/env perl\n").as_deref(), Some("perl"));
        assert_eq!(program(b"echo\n"), None);
    }
}
