//! The project's programs as processes, and programs nobody has ever heard of.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use doorward_policy::Sha256;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sha2::Digest;

use super::wait::eventually_within;

/// Environment variable with the folder of the built programs; `cargo xtask test` sets it.
const FOLDER_VARIABLE: &str = "DOORWARD_BIN_DIR";

/// How long a program may take to stop when it is asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a program of the project lies.
///
/// # Panics
/// When nobody said where the programs are: a system test never falls back on another build.
pub(crate) fn path(name: &str) -> PathBuf {
    let folder = std::env::var_os(FOLDER_VARIABLE);
    let folder = folder.unwrap_or_else(|| no_programs(FOLDER_VARIABLE));
    let path = Path::new(&folder).join(name);
    assert!(path.is_file(), "{} is not built; run `cargo xtask test`", path.display());
    path
}

#[expect(clippy::panic, reason = "a test says what went wrong by panicking")]
fn no_programs(variable: &str) -> ! {
    panic!("{variable} is not set: run the tests by `cargo xtask test`, which builds the programs and says where they are")
}

/// A running program; killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program of the project; what it logs is appended to the file.
    pub(super) fn spawn<I, S>(name: &str, arguments: I, log: PathBuf) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(path(name));
        command.args(arguments);
        Self::spawn_command(name, command, log)
    }

    /// Starts a command that is or becomes a program of the project; what it logs is appended to the file.
    pub(crate) fn spawn_command(name: &str, command: Command, log: PathBuf) -> Self {
        let output = File::options().create(true).append(true).open(&log).expect("the log can be written");
        Self::spawn_complaining_to(name, command, log, output.into())
    }

    /// As [`Program::spawn_command`], with standard error elsewhere.
    pub(crate) fn spawn_complaining_to(name: &str, mut command: Command, log: PathBuf, target: Stdio) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(target);
        let child = command.spawn().expect("the program starts");
        Self { name: name.to_owned(), child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a process id")), Signal::SIGTERM).expect("a child can be signalled");
        let name = self.name.clone();
        eventually_within(STOP_TIMEOUT, &format!("{name} stops"), || self.child.try_wait().expect("a child can be waited for"))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the last lines {} logged:", self.name);
            lines[lines.len().saturating_sub(40)..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Runs a command of the project to its end: its JSON, or what it said on standard error.
pub(super) fn ask(name: &str, arguments: &[&OsStr]) -> Result<Value, String> {
    let output = Command::new(path(name)).args(arguments).stdin(Stdio::null()).output().expect("the program starts");
    answer(output.status, &String::from_utf8_lossy(&output.stdout), &String::from_utf8_lossy(&output.stderr))
}

/// The JSON of a command of the project that has ended, or what it said on standard error.
pub(crate) fn answer(status: ExitStatus, printed: &str, complained: &str) -> Result<Value, String> {
    if !status.success() {
        return Err(format!("{} ({status})", complained.trim()));
    }
    let last = printed.trim().lines().last().unwrap_or("null");
    serde_json::from_str(last).or_else(|_| serde_json::from_str(printed)).map_err(|error| format!("no JSON ({error}): {printed}"))
}

/// The bytes of a real program that no other test and no machine has: the loader ignores what stands behind it.
#[must_use]
pub fn unheard_of(name: &str) -> Vec<u8> {
    let mut bytes = fs::read("/bin/true").expect("every machine has /bin/true");
    bytes.extend_from_slice(format!("\0doorward test program {name}").as_bytes());
    bytes
}

/// A file's name.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(bytes).into())
}
