//! Whether a file is the script among the arguments of its interpreter: text of which nothing else tells that it is to be run.
//!
//! Arguments are what a program was started with and can be read only from its memory. Links among them are followed as the interpreter
//! has just followed them: in the kernel's cache if possible, and in any case so that no file system can hold whoever asks for long.

use std::fs::File;
use std::os::fd::OwnedFd;

use doorward_policy::Interpreter;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fstat};

use super::bounded::{read_within, within};
use crate::exec::walk::RESOLVE_CACHED;
use crate::system::glance::glance;

/// Bytes read of arguments; a script stands at their beginning.
const ARGUMENTS_BYTES_MAX: u64 = 16 * 1024;
/// Arguments that may be the script, at most: behind this many options with values.
const CANDIDATES_MAX: usize = 16;
/// Names that lead to open files of whoever asks.
const OPEN_FILES: [&[u8]; 3] = [b"/dev/fd/", b"/dev/std", b"/proc/"];

/// Whether the interpreter was started with this file as its script, or cannot be asked.
pub(super) fn may_name(pid: i32, file: &File, interpreter: &Interpreter) -> bool {
    let Some(arguments) = read_within(format!("/proc/{pid}/cmdline"), ARGUMENTS_BYTES_MAX) else { return true };
    candidates(&arguments, interpreter).into_iter().any(|argument| may_lead_to(pid, argument, file))
}

/// Arguments that may be the script: the first that is no option, and before it whatever may be the value of one. None behind an
/// option that takes code.
fn candidates<'a>(arguments: &'a [u8], interpreter: &Interpreter) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    let mut is_behind_option = false;
    for argument in arguments.split(|byte| *byte == 0).skip(1) {
        if interpreter.takes_code(argument) {
            return found;
        }
        let is_option = argument.starts_with(b"-") || argument.starts_with(b"+");
        if !is_option && !argument.is_empty() {
            found.push(argument);
            if !is_behind_option || found.len() >= CANDIDATES_MAX {
                return found;
            }
        }
        is_behind_option = is_option;
    }
    found
}

fn may_lead_to(pid: i32, argument: &[u8], file: &File) -> bool {
    if OPEN_FILES.iter().any(|start| argument.starts_with(start)) {
        return true;
    }
    let cached = resolve(pid, argument, ResolveFlag::from_bits_retain(RESOLVE_CACHED));
    let found = match cached {
        // Somebody may have to be asked, be it for the time a link was last followed; or the kernel cannot look into its cache alone.
        Err(Errno::EAGAIN | Errno::EINVAL) => {
            let argument = argument.to_vec();
            within(move || resolve(pid, &argument, ResolveFlag::empty()))
        }
        found => Some(found),
    };
    match found {
        Some(Ok(found)) => match (glance(&found), fstat(file)) {
            (Ok(found), Ok(file)) => (found.device, found.inode) == (file.st_dev, file.st_ino),
            _ => false,
        },
        // Through somebody's open file, or not in time.
        Some(Err(Errno::ELOOP)) | None => true,
        Some(Err(_)) => false,
    }
}

fn resolve(pid: i32, argument: &[u8], how: ResolveFlag) -> Result<OwnedFd, Errno> {
    let (start, below, within) = match argument.strip_prefix(b"/") {
        Some(below) => ("root", below, ResolveFlag::RESOLVE_IN_ROOT),
        None => ("cwd", argument, ResolveFlag::empty()),
    };
    let start = open(format!("/proc/{pid}/{start}").as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let resolve = within | ResolveFlag::RESOLVE_NO_MAGICLINKS | how;
    openat2(start, below, OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scripts(interpreter: &str, arguments: &[&str]) -> Vec<String> {
        let joined = arguments.join("\0");
        let found = candidates(joined.as_bytes(), &interpreter.parse().unwrap());
        found.into_iter().map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
    }

    #[test]
    fn the_script_is_the_first_argument_that_no_option_takes() {
        let python = "python3*:.py:-c:-m";
        assert_eq!(scripts(python, &["python3", "tool", "data", "more"]), ["tool"]);
        assert_eq!(scripts(python, &["python3", "-W", "ignore", "tool", "data"]), ["ignore", "tool"]);
        assert_eq!(scripts(python, &["python3", "-u", "tool", "-c", "data"]), ["tool"]);
        assert!(scripts(python, &["python3", "-c", "print()", "data"]).is_empty());
        assert!(scripts(python, &["python3", "-m", "tool", "data"]).is_empty());
        assert!(scripts(python, &["python3"]).is_empty());
        assert_eq!(scripts("sh:-c", &["sh", "-e", "/tmp/x", "y"]), ["/tmp/x", "y"]);
        assert!(scripts("perl:-e", &["perl", "-ne", "print", "data"]).is_empty());
        assert_eq!(scripts("perl:-e", &["perl", "-pie", "tool"]), ["tool"]);
    }

    #[test]
    fn an_argument_leads_to_a_file_through_links_and_not_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let (script, link) = (folder.path().join("script"), folder.path().join("link"));
        std::fs::write(&script, "x").unwrap();
        std::os::unix::fs::symlink(&script, &link).unwrap();
        let file = File::open(&link).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let leads = |argument: &str| may_lead_to(pid, argument.as_bytes(), &file);
        assert!(leads(script.to_str().unwrap()) && leads(link.to_str().unwrap()));
        assert!(!leads("/etc/passwd") && !leads("no such file"));
        assert!(leads("/dev/fd/0"), "nobody can tell");
    }
}
