//! A small C project: many sources of a middling kind, a make file, and a package with the programs that build it.

use std::fmt::Write as _;

use crate::lab::Lab;

/// Sources, each compiled by itself and linked into one program.
const SOURCES: u32 = 200;
/// Functions in each.
const FUNCTIONS: u32 = 4;
const FOLDER: &str = "/home/bench/project";

/// Builds everything anew, with two jobs.
pub(super) const BUILD: &str = "/usr/bin/bench-build";
/// Compiles one source and links nothing.
pub(super) const COMPILE: &str = "/usr/bin/bench-compile";

/// Writes it, for a user to build.
pub(super) fn write(lab: &Lab, user: u32) {
    for number in 0..SOURCES {
        lab.write(&format!("{FOLDER}/part{number}.c"), source(number).as_bytes(), "644");
    }
    lab.write(&format!("{FOLDER}/Makefile"), makefile().as_bytes(), "644");
    lab.must(&["chown", "-R", &format!("{user}:{user}"), FOLDER]);
    let build = format!("#!/bin/sh\ncd {FOLDER} && rm -f *.o program && exec make -s -j2\n");
    let compile = format!("#!/bin/sh\ncd {FOLDER} && rm -f part0.o && exec make -s part0.o\n");
    lab.install("bench-build", &[(&BUILD[1..], build.as_bytes()), (&COMPILE[1..], compile.as_bytes())]);
}

fn source(number: u32) -> String {
    let mut text = String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n\n");
    for function in 0..FUNCTIONS {
        let _ = write!(
            text,
            "int part{number}_{function}(const char *text, int count) {{\n    char buffer[64];\n    int sum = {function};\n    \
             for (int i = 0; i < count; i++) {{\n        snprintf(buffer, sizeof buffer, \"%d %s\", i + {number}, text);\n        \
             sum += (int)strlen(buffer) ^ (i * {function});\n    }}\n    return sum;\n}}\n\n"
        );
    }
    if number == 0 {
        text.push_str("int main(void) { return part0_0(\"a\", 1) < 0; }\n");
    }
    text
}

fn makefile() -> String {
    let objects = (0..SOURCES).map(|number| format!(" part{number}.o")).collect::<String>();
    format!("CC = gcc\nCFLAGS = -O0\nprogram:{objects}\n\t$(CC) -o $@ $^\n")
}
