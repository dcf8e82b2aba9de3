//! Timing processes against each other.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// What runs before every timed process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache {
    /// The kernel's caches are emptied, where this process may.
    Cold,
    /// Whatever the round before left there.
    Warm,
}

/// A process that ended well.
pub(super) struct Ran {
    pub(super) seconds: f64,
    pub(super) output: Vec<u8>,
}

/// Runs a command to its end. `accepted` are its exit codes that mean it did its work.
pub(super) fn run(command: &mut Command, cache: Cache, accepted: &[i32]) -> Result<Ran> {
    if cache == Cache::Cold {
        empty_caches();
    }
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let seconds = started.elapsed().as_secs_f64();
    let is_done = output.status.code().is_some_and(|code| accepted.contains(&code));
    ensure!(is_done, "{command:?} failed: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(Ran { seconds, output: output.stdout })
}

/// Writes out what is dirty and drops page, dentry and inode caches; false where that is not permitted.
pub(super) fn empty_caches() -> bool {
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Which side of a figure runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Peer,
}

/// Runs both sides in turn, the first one changing from round to round.
pub(super) fn alternate(rounds: usize, run: impl FnMut(Side) -> Result<()>) -> Result<()> {
    in_turn(&[Side::Ours, Side::Peer], rounds, run)
}

/// Runs all sides in turn, backwards every other round.
pub(super) fn in_turn<S: Copy>(sides: &[S], rounds: usize, mut run: impl FnMut(S) -> Result<()>) -> Result<()> {
    for round in 0..rounds {
        let mut order = sides.to_vec();
        if round % 2 == 1 {
            order.reverse();
        }
        order.into_iter().try_for_each(&mut run)?;
    }
    Ok(())
}

/// The middle one, or the mean of the two in the middle; `None` of nothing.
pub(super) fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn neither_side_always_goes_first() {
        let mut order = Vec::new();
        alternate(2, |side| {
            order.push(side);
            Ok(())
        })
        .unwrap();
        assert_eq!(order, [Side::Ours, Side::Peer, Side::Peer, Side::Ours]);
    }
}
