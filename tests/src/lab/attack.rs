//! Changing a program between its judgement and its start: what an unprivileged owner of a file can try, round after round.
//!
//! An allowed program that ends with 0 stands at the path, somebody starts it, and a moment later the bytes of a denied one that ends
//! with 1 take its place. Whatever the timing, the denied one must never run to its end unnoticed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// The change is tried at moments spread over this time after the start.
const SPREAD: Duration = Duration::from_millis(4);

/// One kind of attack.
#[derive(Debug, Args)]
pub struct Attack {
    /// How the file is changed
    #[arg(value_enum)]
    way: Way,
    /// Program that is allowed and ends with 0
    good: PathBuf,
    /// Program that is denied and ends with 1
    bad: PathBuf,
    /// Where the good one stands and the bad one is put
    victim: PathBuf,
    /// How often
    rounds: u32,
}

/// How a file is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// The same inode gets other bytes, none missing at any moment
    Rewrite,
    /// The same inode is emptied and filled again
    Truncate,
    /// Another inode takes the name
    Rename,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Rewrite, Self::Truncate, Self::Rename];

    /// The word of the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
        }
    }
}

/// What came of the rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The allowed program ran to its end.
    pub good: u32,
    /// The denied one did.
    pub bad: u32,
    /// The start was refused with EPERM.
    pub denied: u32,
    /// It was refused because somebody had the file open for writing.
    pub busy: u32,
    /// What ran was killed.
    pub killed: u32,
    /// The bytes in between were no program.
    pub broken: u32,
}

/// All rounds of an attack, in the lab.
pub(super) fn run(attack: &Attack) -> Result<Tally> {
    let (good, bad) = (fs::read(&attack.good)?, fs::read(&attack.bad)?);
    let mut tally = Tally::default();
    for round in 0..attack.rounds {
        place(&attack.victim, &good)?;
        // Ready beforehand, so that only the renaming falls into the moment.
        let other = beside(&attack.victim, "other");
        put(&other, &bad)?;
        let delay = SPREAD.mul_f64(f64::from(round % 97) / 97.0);
        thread::scope(|scope| -> Result<()> {
            let starting = scope.spawn(|| Command::new(&attack.victim).status());
            wait(delay);
            // A refused write is an attack that failed.
            let _ = change(attack.way, &attack.victim, &other, &bad);
            tally.count(starting.join().ok().context("starting does not panic")?)
        })?;
    }
    Ok(tally)
}

impl Tally {
    fn count(&mut self, ended: std::io::Result<std::process::ExitStatus>) -> Result<()> {
        let counted = match ended.map(|status| status.code()) {
            Ok(Some(0)) => &mut self.good,
            Ok(Some(1)) => &mut self.bad,
            Ok(Some(_)) => &mut self.broken,
            Ok(None) => &mut self.killed,
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EPERM) => &mut self.denied,
                Some(Errno::ETXTBSY) => &mut self.busy,
                Some(Errno::ENOEXEC | Errno::EIO | Errno::EINVAL | Errno::ENOENT) => &mut self.broken,
                _ => return Err(error).context("starting the victim"),
            },
        };
        *counted += 1;
        Ok(())
    }
}

/// Below a tenth of a millisecond sleeping is too coarse.
fn wait(delay: Duration) {
    let until = Instant::now() + delay;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn change(way: Way, victim: &Path, other: &Path, bad: &[u8]) -> std::io::Result<()> {
    match way {
        Way::Rewrite => File::options().write(true).open(victim)?.write_all(bad),
        Way::Truncate => File::create(victim)?.write_all(bad),
        Way::Rename => fs::rename(other, victim),
    }
}

/// A new inode each round, so that nothing known of the last one helps.
fn place(victim: &Path, content: &[u8]) -> Result<()> {
    let fresh = beside(victim, "fresh");
    put(&fresh, content)?;
    fs::rename(&fresh, victim)?;
    Ok(())
}

fn put(path: &Path, content: &[u8]) -> Result<()> {
    let _ = fs::remove_file(path);
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    path.with_extension(extension)
}
