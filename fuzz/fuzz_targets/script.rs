//! A first line of any bytes: what the kernel would start is one path and at most one argument, both from that line.
#![no_main]

use doorward_formats::{Guess, HEAD_BYTES, INTERPRETER_BYTES_MAX, Kind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|rest: &[u8]| {
    let content = [b"#!", rest].concat();
    match Kind::of_head(&content[..content.len().min(HEAD_BYTES)]) {
        Guess::Not => {}
        Guess::Certain(Kind::Script(script)) => {
            let argument = script.argument.unwrap_or_default();
            assert!(!script.interpreter.is_empty());
            assert!(script.interpreter.len() + argument.len() <= INTERPRETER_BYTES_MAX);
            assert!(!script.interpreter.iter().any(|byte| matches!(byte, 0 | b' ' | b'\t' | b'\n')));
            assert!(!argument.iter().any(|byte| matches!(byte, 0 | b'\n')));
            let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
            assert!(line.windows(script.interpreter.len()).any(|part| part == script.interpreter));
        }
        other => panic!("a script is nothing else: {other:?}"),
    }
});
