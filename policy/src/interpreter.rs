//! Programs that run what they read: known by the names of their files, with what each reads in order to run it.
//!
//! Written in one word, as people type it: `python3*:.py:.pyc:-c:-m` is every program whose name begins with `python3`; it runs files
//! named `.py` and `.pyc`, and behind `-c` or `-m` there is no script among its arguments.

use std::fmt;
use std::str::FromStr;

/// Longest word, in bytes.
pub const INTERPRETER_BYTES_MAX: usize = 255;
/// Parts of a word behind the name.
const PARTS_MAX: usize = 16;

/// Letters that options of interpreters put together with the one that takes code, as in `-ne`; none of them takes a value.
const CLUSTER: &[u8] = b"abelnpsuvw";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interpreter {
    name: String,
    suffixes: Vec<String>,
    /// Letters of options that take code, after which no script is among the arguments.
    code_options: Vec<u8>,
}

/// Why a text names no interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an interpreter is a name (which may end in *), suffixes and options with code, as in python3*:.py:.pyc:-c:-m")]
pub struct InterpreterError;

impl Interpreter {
    /// Those that a profile begins with. Programs that run as many things as they copy (busybox) are not among them, nor those that
    /// are mostly given data to read (awk, sed).
    #[must_use]
    pub fn usual() -> Vec<Self> {
        const USUAL: [&str; 20] = [
            "sh:.sh:-c",
            "dash:.sh:-c",
            "bash:.sh:.bash:-c",
            "ksh*:.sh:.ksh:-c",
            "mksh*:.sh:.ksh:-c",
            "zsh*:.sh:.zsh:-c",
            "fish:.fish:-c",
            "python*:.py:.pyw:.pyc:.pyo:.pth:-c:-m",
            "pypy*:.py:.pyc:-c:-m",
            "perl*:.pl:.pm:.ph:.al:-e:-E",
            "ruby*:.rb:-e",
            "node*:.js:.mjs:.cjs:-e:-p",
            "deno:.js:.mjs:.ts",
            "bun:.js:.mjs:.cjs:.ts:-e",
            "php*:.php:.phar:.inc:-r",
            "lua*:.lua:-e",
            "tclsh*:.tcl",
            "guile*:.scm:-c",
            "Rscript:.R:-e",
            "java:.jar:.class:.war",
        ];
        USUAL.into_iter().filter_map(|word| word.parse().ok()).collect()
    }

    /// Whether a program whose file has this name is meant.
    #[must_use]
    pub fn is(&self, file_name: &[u8]) -> bool {
        match self.name.strip_suffix('*') {
            Some(start) => file_name.starts_with(start.as_bytes()),
            None => file_name == self.name.as_bytes(),
        }
    }

    /// Whether it runs files with this name wherever it finds them, or this suffix alone.
    #[must_use]
    pub fn loads(&self, file_name: &[u8]) -> bool {
        self.suffixes.iter().any(|suffix| file_name.ends_with(suffix.as_bytes()))
    }

    /// Whether both run some of the same files, as all shells do.
    #[must_use]
    pub fn is_kin_of(&self, other: &Self) -> bool {
        self.name == other.name || self.suffixes.iter().any(|suffix| other.suffixes.contains(suffix))
    }

    /// Whether an argument is an option that takes code, so that no script is to come.
    #[must_use]
    pub fn takes_code(&self, argument: &[u8]) -> bool {
        let Some(letters) = argument.strip_prefix(b"-") else { return false };
        let at = letters.iter().position(|letter| self.code_options.contains(letter));
        at.is_some_and(|at| letters[..at].iter().all(|letter| CLUSTER.contains(letter)))
    }
}

impl FromStr for Interpreter {
    type Err = InterpreterError;

    fn from_str(text: &str) -> Result<Self, InterpreterError> {
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/,:*\\\"".contains(&byte));
        if text.len() > INTERPRETER_BYTES_MAX {
            return Err(InterpreterError);
        }
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let stem = name.strip_suffix('*').unwrap_or(name);
        if stem.is_empty() || !is_word(stem) {
            return Err(InterpreterError);
        }
        let (mut suffixes, mut code_options) = (Vec::new(), Vec::new());
        for (count, part) in parts.enumerate() {
            match part.as_bytes() {
                _ if count >= PARTS_MAX => return Err(InterpreterError),
                [b'.', _, ..] if is_word(part) => suffixes.push(part.to_owned()),
                [b'-', letter] if letter.is_ascii_alphabetic() => code_options.push(*letter),
                _ => return Err(InterpreterError),
            }
        }
        Ok(Self { name: name.to_owned(), suffixes, code_options })
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.suffixes.iter().try_for_each(|suffix| write!(f, ":{suffix}"))?;
        self.code_options.iter().try_for_each(|letter| write!(f, ":-{}", char::from(*letter)))
    }
}

crate::text::as_text!(Interpreter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_and_written_the_same() {
        for word in ["sh", "python3*:.py:.pyc:-c:-m", "perl:.pl:-e:-E"] {
            assert_eq!(word.parse::<Interpreter>().unwrap().to_string(), word);
        }
        assert_eq!(Interpreter::usual().len(), 20, "each of the usual ones is one");
        let many = format!("x{}", ":.a".repeat(PARTS_MAX + 1));
        for wrong in ["", "*", "/bin/sh", "sh:", "sh:py", "sh:.", "sh:-cc", "sh:-1", "a b", "a,b", "*x", "p\u{e4}rl", "x:.a/b", &many] {
            assert_eq!(wrong.parse::<Interpreter>(), Err(InterpreterError), "{wrong}");
        }
    }

    #[test]
    fn programs_are_known_by_the_names_of_their_files() {
        let python: Interpreter = "python3*:.py:-c:-m".parse().unwrap();
        assert!(python.is(b"python3.11") && python.is(b"python3") && !python.is(b"python2") && !python.is(b"mypython3"));
        assert!(python.loads(b"x.py") && !python.loads(b"x.pyx") && !python.loads(b"py"));
        let sh: Interpreter = "sh".parse().unwrap();
        assert!(python.is_kin_of(&python) && !python.is_kin_of(&sh));
        assert!("dash:.sh".parse::<Interpreter>().unwrap().is_kin_of(&"bash:.bash:.sh".parse().unwrap()));
        assert!(sh.is(b"sh") && !sh.is(b"ssh") && !sh.is(b"sh2"));
    }

    #[test]
    fn an_option_with_code_is_told_from_one_that_only_contains_its_letter() {
        let perl: Interpreter = "perl:-e".parse().unwrap();
        for code in ["-e", "-ne", "-lane", "-eprint"] {
            assert!(perl.takes_code(code.as_bytes()), "{code}");
        }
        // `-pie` is `-p -i` with the extension `e`: a script follows.
        for other in ["-pie", "-Ilibe", "-w", "e", "--version-e", ""] {
            assert!(!perl.takes_code(other.as_bytes()), "{other}");
        }
    }
}
