//! Canaries: the smallest things that must always be possible in a lab, however the agent fares.

use std::path::PathBuf;
use std::time::Duration;

use super::entrance::Measured;
use super::process::{COMMAND_LIMIT, Ended};
use super::root::{Lab, nonsense};

/// A packaged program that does nothing.
const PROGRAM: &str = "/usr/bin/true";
/// A file at the root of every filesystem of a lab.
const FILE: &str = ".canary";

/// How one execution or open went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// What was executed or opened.
    pub path: PathBuf,
    /// `None` when it did not come to an end.
    pub took: Option<Duration>,
    /// The kernel's reason when it was refused.
    pub errno: Option<i32>,
}

impl Lab {
    /// Executes a packaged program.
    #[must_use]
    pub fn canary_exec(&self) -> Canary {
        self.canary_exec_as(0)
    }

    /// Executes a packaged program as a user.
    ///
    /// # Panics
    /// When `doorward-lab` makes no sense.
    #[must_use]
    pub fn canary_exec_as(&self, user: u32) -> Canary {
        let ended = self.errand(Some(user), &["start", PROGRAM], b"").within(COMMAND_LIMIT);
        canaries(ended, &[PROGRAM.into()]).remove(0)
    }

    /// Opens a file on every filesystem of the lab that has any.
    ///
    /// # Panics
    /// When `doorward-lab` makes no sense.
    #[must_use]
    pub fn canary_open(&self) -> Vec<Canary> {
        let paths: Vec<PathBuf> = self.points().iter().map(|point| PathBuf::from(point).join(FILE)).collect();
        let mut arguments = vec![PathBuf::from("open")];
        arguments.extend(paths.iter().cloned());
        canaries(self.errand(None, &arguments, b"").within(COMMAND_LIMIT), &paths)
    }

    /// Both kinds, each of which must come to its end within this time; opens and the packaged program must succeed, too.
    ///
    /// # Panics
    /// When one does not.
    pub fn assert_alive_within(&self, at_most: Duration) {
        let mut canaries = self.canary_open();
        canaries.push(self.canary_exec());
        for canary in canaries {
            assert!(canary.took.is_some_and(|took| took <= at_most), "{canary:?} must take at most {} ms", at_most.as_millis());
            assert_eq!(canary.errno, None, "{canary:?}");
        }
    }

    pub(super) fn place_canaries(&self) {
        for point in self.points() {
            self.place_canary(&point);
        }
    }

    pub(super) fn place_canary(&self, point: &str) {
        self.write(&format!("{}/{FILE}", point.trim_end_matches('/')), b"canary\n", "644");
    }

    /// Where filesystems that hold files, and somebody who answers for them, are mounted.
    fn points(&self) -> Vec<String> {
        let points = self.mountinfo();
        let without = [" - proc ", " - sysfs ", " - cgroup2 ", " - fuse "];
        let points = points.lines().filter(|line| !without.iter().any(|kind| line.contains(kind)));
        points.filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
    }
}

fn canaries(ended: Option<Ended>, paths: &[PathBuf]) -> Vec<Canary> {
    let Some(ended) = ended else {
        return paths.iter().map(|path| Canary { path: path.clone(), took: None, errno: None }).collect();
    };
    let measured: Vec<Measured> = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| nonsense(&ended, &error));
    let canary = |one: Measured| Canary { path: one.path, took: Some(Duration::from_micros(one.took_us)), errno: one.errno };
    measured.into_iter().map(canary).collect()
}
