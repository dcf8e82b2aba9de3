//! What `doorward-lab` does: enters a lab's mount namespace and does one thing there.
//!
//! Its own program file and libraries are the machine's and loaded before it enters, so nothing that is held or denied in the lab
//! can keep it from starting. It can be held like any process once it executes or opens something; whoever started it kills it then.
//! Only what becomes a program of the lab goes on with a copy that is a package of the lab.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, chdir, setgid, setgroups, setuid, write as write_to};
use serde::{Deserialize, Serialize};

use super::alteration::Alteration;
use super::attack::{self, Attack};
use doorward_proto::uplink::CoverageKind;

use super::floor;
use super::hindrance;
use super::passage::Passage;
use super::repeat::{self, Repeat};

/// Exit status when the kernel refused to execute, with the reason's number on standard error after [`REFUSAL`].
pub(super) const REFUSED: u8 = 126;
pub(super) const REFUSAL: &str = "doorward-lab: refused with errno ";

/// The lab's own copy of this program.
pub(super) const INSIDE: &str = "/usr/sbin/doorward-lab";
/// Errands of that copy.
const DONE_INSIDE: [&str; 3] = ["exec", "through", "repeat"];
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Does one thing inside a lab.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// The lab's mount namespace
    #[arg(long, required_unless_present = "inside")]
    namespace: Option<PathBuf>,
    /// Where the lab's control group takes processes in
    #[arg(long, required_unless_present = "inside")]
    control_group: Option<PathBuf>,
    /// It is in the lab already, and standard input is where its control group takes processes in
    #[arg(long)]
    inside: bool,
    /// As this user and group, without further groups
    #[arg(long)]
    user: Option<u32>,
    #[command(subcommand)]
    errand: Errand,
}

/// What to do inside.
#[derive(Debug, Subcommand)]
pub enum Errand {
    /// Become a program
    Exec {
        /// Program and arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Become a program in a way a shell has not
    Through {
        /// How
        #[arg(value_enum)]
        passage: Passage,
        /// Folder for copies
        folder: PathBuf,
        /// Program and arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Run a program and print how it went and how long it took
    Start {
        /// Program
        program: PathBuf,
    },
    /// Open files, read a byte of each, and print how long each took
    Open {
        /// Files
        paths: Vec<PathBuf>,
    },
    /// Write standard input to a file
    Write {
        /// File; its folders are made
        path: PathBuf,
        /// Octal
        mode: String,
        /// Add to what is there
        #[arg(long)]
        append: bool,
        /// Length the file is given in the end, for a hole behind the content
        #[arg(long)]
        length: Option<u64>,
    },
    /// Write standard input to many files, each with its number behind
    Fill {
        /// Folder
        folder: PathBuf,
        /// Files
        count: u32,
    },
    /// Remove a file
    Remove {
        /// File
        path: PathBuf,
    },
    /// Alter a file; standard input is its new content
    Alter {
        /// How
        #[arg(value_enum)]
        alteration: Alteration,
        /// File
        path: PathBuf,
    },
    /// Mount a filesystem without a device
    Mount {
        /// As in mount -t
        kind: String,
        /// As in mount -o
        options: String,
        /// Folder; it is made
        point: PathBuf,
    },
    /// Print the mount table
    Mountinfo,
    /// Stop a thread and keep it so
    Trace {
        /// Its number
        thread: i32,
    },
    /// Mount a filesystem and never answer a request about it
    ServeNothing {
        /// Folder; it is made
        point: PathBuf,
    },
    /// Change a file while it is being judged, again and again
    Attack(Attack),
    /// Do the same small thing again and again, and print what it took
    Repeat(Repeat),
    /// Hold executions on the lab's own disk with the least that can hold any, until killed
    Floor {
        /// Hold opens too
        #[arg(long)]
        opens: bool,
    },
}

/// How one execution or open went, as `start` and `open` print it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    pub(super) path: PathBuf,
    /// Inside, without entering the lab.
    pub(super) took_us: u64,
    /// Number of the error; `None` when it went well.
    pub(super) errno: Option<i32>,
}

impl Arguments {
    /// Enters and does it.
    ///
    /// # Errors
    /// What could not be done, for standard error.
    pub fn run(&self) -> Result<ExitCode> {
        if self.inside {
            return self.join();
        }
        let entrance = self.control_group.as_ref().map(|group| File::options().write(true).open(group)).transpose()?;
        self.enter()?;
        match &self.errand {
            Errand::Exec { .. } | Errand::Through { .. } | Errand::Repeat(_) => {
                return go_on_inside(entrance.context("the lab's control group")?);
            }
            Errand::Start { program } => print(&[start(program)])?,
            Errand::Open { paths } => print(&paths.iter().map(|path| open(path)).collect::<Vec<_>>())?,
            Errand::Write { path, mode, append, length } => write(path, mode, *append, *length)?,
            Errand::Fill { folder, count } => fill(folder, *count)?,
            Errand::Remove { path } => fs::remove_file(path)?,
            Errand::Alter { alteration, path } => alteration.apply(path, &input()?)?,
            Errand::Mount { kind, options, point } => {
                fs::create_dir_all(point)?;
                mount(Some("lab"), point, Some(kind.as_str()), MsFlags::empty(), Some(options.as_str()))?;
            }
            Errand::Mountinfo => io::stdout().write_all(&fs::read("/proc/self/mountinfo")?)?,
            Errand::Trace { thread } => hindrance::trace(*thread)?,
            Errand::ServeNothing { point } => hindrance::serve_nothing(point)?,
            Errand::Attack(attack) => println!("{}", serde_json::to_string(&attack::run(attack)?)?),
            Errand::Floor { opens } => floor::run(if *opens { CoverageKind::ExecAndOpen } else { CoverageKind::Exec })?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn enter(&self) -> Result<()> {
        // A test that is killed takes along what it started.
        set_pdeathsig(Signal::SIGKILL)?;
        let namespace = self.namespace.as_ref().context("which lab")?;
        let namespace = File::open(namespace).context("the lab is gone")?;
        setns(namespace, CloneFlags::CLONE_NEWNS).context("entering the lab")?;
        chdir("/")?;
        if let Some(user) = self.user {
            setgroups(&[])?;
            setgid(Gid::from_raw(user))?;
            setuid(Uid::from_raw(user))?;
        }
        Ok(())
    }

    /// Becomes a program that the lab's agent looks after.
    fn join(&self) -> Result<ExitCode> {
        write_to(io::stdin(), b"0").context("the lab's control group")?;
        Ok(match &self.errand {
            Errand::Exec { command } => become_program(command),
            Errand::Through { passage, folder, command } => passage.go(folder, command)?,
            Errand::Repeat(repeat) => {
                println!("{}", serde_json::to_string(&repeat::run(repeat)?)?);
                ExitCode::SUCCESS
            }
            _ => bail!("that is done from outside"),
        })
    }
}

/// Goes on with the lab's own copy of this program: the agent there looks after the control group, and what lies on a file system of
/// the machine it would end.
fn go_on_inside(entrance: File) -> Result<ExitCode> {
    let arguments = std::env::args_os().skip_while(|argument| !DONE_INSIDE.iter().any(|errand| argument == errand));
    let error = clean(INSIDE).arg("--inside").args(arguments).stdin(entrance).exec();
    // The agent may refuse this program like any other, as when it has no descriptors to look at it.
    if let Some(errno) = error.raw_os_error().filter(|errno| *errno == nix::libc::EPERM) {
        return Ok(refused(errno));
    }
    Err(error).with_context(|| format!("{INSIDE} in the lab"))
}

pub(super) fn become_program(command: &[OsString]) -> ExitCode {
    let error = clean(&command[0]).args(&command[1..]).stdin(Stdio::null()).exec();
    refused(error.raw_os_error().unwrap_or_default())
}

/// Says that the kernel refused to execute, and why.
pub(super) fn refused(errno: i32) -> ExitCode {
    eprintln!("{REFUSAL}{errno}");
    ExitCode::from(REFUSED)
}

/// A command that knows nothing of the machine's environment.
pub(super) fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn start(program: &Path) -> Measured {
    measured(program, || clean(program).status().map(|_| ()))
}

fn open(path: &Path) -> Measured {
    measured(path, || File::open(path).and_then(|file| file.take(1).read_to_end(&mut Vec::new())).map(|_| ()))
}

fn measured(path: &Path, what: impl FnOnce() -> io::Result<()>) -> Measured {
    let started = Instant::now();
    let errno = what().err().map(|error| error.raw_os_error().unwrap_or_default());
    Measured { path: path.to_owned(), took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX), errno }
}

fn print(measured: &[Measured]) -> Result<()> {
    println!("{}", serde_json::to_string(measured)?);
    Ok(())
}

fn input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, mode: &str, append: bool, length: Option<u64>) -> Result<()> {
    let mode = u32::from_str_radix(mode, 8).context("the mode is octal")?;
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    let mut file = if append { File::options().append(true).create(true).open(path)? } else { File::create(path)? };
    file.write_all(&input()?)?;
    if let Some(length) = length {
        file.set_len(length)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn fill(folder: &Path, count: u32) -> Result<()> {
    fs::create_dir_all(folder)?;
    let content = input()?;
    for number in 0..count {
        let path = folder.join(number.to_string());
        fs::write(&path, [&content, format!("\0{number}").as_bytes()].concat())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
