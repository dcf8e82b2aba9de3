//! Changing a program between its judgement and its start: what an unprivileged owner of a file can try, round after round.
//!
//! An allowed program that ends with 0 stands at the path, somebody starts it, and a moment later the bytes of a denied one that ends
//! with 1 take its place. Whatever the timing, the denied one must never run to its end unnoticed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use doorward_agent::system::lease;
use doorward_agent::system::mapping::Mapping;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::starter::{Start, Starter};
pub use super::way::Way;

/// The change is tried at moments spread over this time after the start, in milliseconds.
pub(super) const SPREAD_MS: u64 = 4;
/// Different moments there are.
const MOMENTS: u32 = 97;

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
    /// Length of both where they are tried, for a hole behind them
    #[arg(long)]
    length: Option<u64>,
    /// Milliseconds over which the moments of the change are spread
    #[arg(long, default_value_t = SPREAD_MS)]
    spread_ms: u64,
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

/// What is put where.
struct Bytes {
    good: Vec<u8>,
    bad: Vec<u8>,
    length: Option<u64>,
}

/// All rounds of an attack, in the lab.
pub(super) fn run(attack: &Attack) -> Result<Tally> {
    let bytes = Bytes { good: fs::read(&attack.good)?, bad: fs::read(&attack.bad)?, length: attack.length };
    let spread = Duration::from_millis(attack.spread_ms);
    let mut tally = Tally::default();
    let mut starter = Starter::new()?;
    for round in 0..attack.rounds {
        let delay = spread.mul_f64(f64::from(round % MOMENTS) / f64::from(MOMENTS));
        bytes.place(&attack.victim)?;
        match attack.way {
            Way::Rewrite | Way::Truncate | Way::Rename => race(attack.way, &attack.victim, &bytes, delay, &mut tally)?,
            Way::Mapped | Way::Mapping => store(attack.way, &attack.victim, &bytes, &mut tally)?,
            // Every other round changes nothing, so that there is something that may run.
            Way::WriteLease => {
                let content = if round % 2 == 0 { &bytes.bad } else { &bytes.good };
                tally.add(keep_from_readers(&attack.victim, content, delay, &mut starter)?);
            }
            Way::ReadLease => tally.add(lease_and_give_back(&attack.victim, &bytes.bad, delay, &mut starter)?),
        }
    }
    Ok(tally)
}

/// Starts it, and changes it a moment later.
fn race(way: Way, victim: &Path, bytes: &Bytes, delay: Duration, tally: &mut Tally) -> Result<()> {
    // Ready beforehand, so that only the renaming falls into the moment.
    let other = beside(victim, "other");
    bytes.put(&other, &bytes.bad)?;
    thread::scope(|scope| -> Result<()> {
        let starting = scope.spawn(|| start(victim));
        wait(delay);
        // A refused write is an attack that failed.
        let _ = match way {
            Way::Rewrite => File::options().write(true).open(victim).and_then(|mut file| file.write_all(&bytes.bad)),
            Way::Truncate => bytes.overwrite(victim),
            _ => fs::rename(other, victim),
        };
        tally.add(starting.join().ok().context("starting does not panic")??);
        Ok(())
    })
}

/// Starts it, so that it is known and perhaps nobody is told any more; then stores other bytes and starts it again at once.
fn store(way: Way, victim: &Path, bytes: &Bytes, tally: &mut Tally) -> Result<()> {
    tally.add(start(victim)?);
    let mut mapping = Mapping::of(&File::options().read(true).write(true).open(victim)?)?;
    mapping.store(&bytes.bad);
    let kept = (way == Way::Mapping).then_some(mapping);
    tally.add(start(victim)?);
    drop(kept);
    Ok(())
}

/// Holds a write lease while another process starts it: whoever would look at it waits, or is told that he would.
fn keep_from_readers(victim: &Path, content: &[u8], delay: Duration, starter: &mut Starter) -> Result<Start> {
    let file = File::options().read(true).write(true).open(victim)?;
    let _ = lease::hold_for_writing(&file);
    starter.begin(victim)?;
    wait(delay);
    let _ = file.write_all_at(content, 0);
    lease::give_back(&file);
    drop(file);
    starter.end()
}

/// Takes and gives back read leases while another process starts it, then changes it.
fn lease_and_give_back(victim: &Path, content: &[u8], delay: Duration, starter: &mut Starter) -> Result<Start> {
    let file = File::open(victim)?;
    starter.begin(victim)?;
    let until = Instant::now() + delay;
    while Instant::now() < until {
        let _ = lease::take(&file);
        lease::give_back(&file);
    }
    let _ = File::options().write(true).open(victim).and_then(|mut file| file.write_all(content));
    starter.end()
}

fn start(victim: &Path) -> Result<Start> {
    Ok(match Command::new(victim).status().map(|status| status.code()) {
        Ok(Some(0)) => Start::Good,
        Ok(Some(1)) => Start::Bad,
        Ok(Some(_)) => Start::Broken,
        Ok(None) => Start::Killed,
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM) => Start::Denied,
            Some(Errno::ETXTBSY) => Start::Busy,
            Some(Errno::ENOEXEC | Errno::EIO | Errno::EINVAL | Errno::ENOENT) => Start::Broken,
            _ => return Err(error).context("starting the victim"),
        },
    })
}

impl Tally {
    const fn add(&mut self, start: Start) {
        let counted = match start {
            Start::Good => &mut self.good,
            Start::Bad => &mut self.bad,
            Start::Denied => &mut self.denied,
            Start::Busy => &mut self.busy,
            Start::Killed => &mut self.killed,
            Start::Broken => &mut self.broken,
        };
        *counted += 1;
    }
}

/// Below a tenth of a millisecond sleeping is too coarse.
fn wait(delay: Duration) {
    let until = Instant::now() + delay;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

impl Bytes {
    /// A new inode each round, so that nothing known of the last one helps.
    fn place(&self, victim: &Path) -> Result<()> {
        let fresh = beside(victim, "fresh");
        self.put(&fresh, &self.good)?;
        fs::rename(&fresh, victim)?;
        Ok(())
    }

    fn put(&self, path: &Path, content: &[u8]) -> Result<()> {
        let _ = fs::remove_file(path);
        fs::write(path, content)?;
        if let Some(length) = self.length {
            File::options().write(true).open(path)?.set_len(length)?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Empties the file and fills it again.
    fn overwrite(&self, path: &Path) -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(&self.bad)?;
        self.length.map_or(Ok(()), |length| file.set_len(length))
    }
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    path.with_extension(extension)
}
