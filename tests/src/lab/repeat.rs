//! The same small thing again and again, timed inside the lab, in a process that its agent looks after like any other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::entrance::clean;

/// What is done, with what, and how often.
#[derive(Debug, Args)]
pub struct Repeat {
    /// What is done
    #[arg(value_enum)]
    task: Task,
    /// How often it is done with each of the files, in turn
    rounds: u32,
    /// Files
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// One small thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Start a program and wait for its end, which must be a good one
    Start,
    /// Open and close a file
    Open,
    /// Read a file and compute the digests that name it and that its package lists
    Digest,
}

impl Task {
    /// The word of the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Open => "open",
            Self::Digest => "digest",
        }
    }
}

/// What all of it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// How many things were done.
    pub count: u64,
    /// On the clock, in nanoseconds.
    pub took_ns: u64,
    /// On processors, by this process and all it started and waited for, in microseconds.
    pub processor_us: u64,
}

/// Every round, in the lab.
pub(super) fn run(repeat: &Repeat) -> Result<Repetition> {
    let mut does = match repeat.task {
        Task::Start => starts(&repeat.paths)?,
        Task::Open => opens(&repeat.paths),
        Task::Digest => digests(&repeat.paths),
    };
    let (processor_us, started) = (processor_us()?, Instant::now());
    let mut count = 0;
    for _ in 0..repeat.rounds {
        for does in &mut does {
            does()?;
            count += 1;
        }
    }
    let took_ns = u64::try_from(started.elapsed().as_nanos())?;
    Ok(Repetition { count, took_ns, processor_us: self::processor_us()?.saturating_sub(processor_us) })
}

type Does<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// The commands are made beforehand: what is timed is the kernel's fork, execution and end of a process, and little else.
fn starts(paths: &[PathBuf]) -> Result<Vec<Does<'_>>> {
    let nowhere = File::options().read(true).write(true).open("/dev/null").context("/dev/null")?;
    let command = |path: &PathBuf| -> Result<Command> {
        let mut command = clean(path);
        command.stdin(Stdio::from(nowhere.try_clone()?)).stdout(Stdio::from(nowhere.try_clone()?));
        Ok(command)
    };
    let commands: Result<Vec<_>> = paths.iter().map(command).collect();
    let does = |mut command: Command| -> Does<'_> {
        Box::new(move || {
            let status = command.status().with_context(|| format!("{command:?}"))?;
            ensure!(status.success(), "{command:?} ended with {status}");
            Ok(())
        })
    };
    Ok(commands?.into_iter().map(does).collect())
}

fn opens(paths: &[PathBuf]) -> Vec<Does<'_>> {
    paths.iter().map(|path| -> Does<'_> { Box::new(move || File::open(path).map(drop).context("opening")) }).collect()
}

fn digests(paths: &[PathBuf]) -> Vec<Does<'_>> {
    paths.iter().map(|path| -> Does<'_> { Box::new(move || digest(path)) }).collect()
}

fn digest(path: &Path) -> Result<()> {
    let bytes = fs::read(path)?;
    let mut md5 = fast_md5::Md5::new();
    md5.update(&bytes);
    std::hint::black_box((sha2::Sha256::digest(&bytes), blake3::hash(&bytes), md5.finalize()));
    Ok(())
}

fn processor_us() -> Result<u64> {
    let sum = |who| -> Result<TimeVal> {
        let usage = getrusage(who)?;
        Ok(usage.user_time() + usage.system_time())
    };
    Ok(u64::try_from((sum(UsageWho::RUSAGE_SELF)? + sum(UsageWho::RUSAGE_CHILDREN)?).num_microseconds())?)
}
