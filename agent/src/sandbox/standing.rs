//! How the helpers are, for `status` and for whoever waits until they are there.

use std::fmt;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{HELPERS, Missing};

/// How the helpers are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Helpers that wait for questions or answer one.
    pub helpers: u32,
    /// Their process ids.
    pub pids: Vec<u32>,
    /// Walls that this kernel, or this process's rights, could not give them.
    pub missing: Vec<Missing>,
    /// Why the last helper that could not be started could not.
    pub problem: Option<String>,
}

/// One keeper's account.
#[derive(Debug, Clone, Default)]
pub(super) enum Place {
    /// It has not come so far yet.
    #[default]
    Starting,
    /// A helper is at its post.
    AtPost {
        pid: u32,
        /// Walls it does without.
        missing: Vec<Missing>,
    },
    /// There is none.
    Empty {
        /// Why.
        reason: String,
        /// When the next one is started.
        until: Instant,
    },
}

/// All keepers' accounts.
#[derive(Debug, Default)]
pub(super) struct Standings {
    places: Mutex<[Place; HELPERS]>,
    changed: Condvar,
}

impl Standings {
    pub(super) fn set(&self, place: usize, standing: Place) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)[place] = standing;
        self.changed.notify_all();
    }

    /// Waits until every keeper has tried once.
    pub(super) fn wait_for_all(&self, patience: Duration) {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let is_starting = |places: &mut [Place; HELPERS]| places.iter().any(|place| matches!(place, Place::Starting));
        drop(self.changed.wait_timeout_while(places, patience, is_starting));
    }

    /// Whether no helper will have been started by then.
    pub(super) fn is_nobody_there_before(&self, due: Instant) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().all(|place| matches!(place, Place::Empty { until, .. } if *until >= due))
    }

    pub(super) fn now(&self) -> Standing {
        let mut standing = Standing::default();
        for place in self.places.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match place {
                Place::Starting => {}
                Place::AtPost { pid, missing } => {
                    standing.helpers += 1;
                    standing.pids.push(*pid);
                    standing.missing.clone_from(missing);
                }
                Place::Empty { reason, .. } => standing.problem = Some(reason.clone()),
            }
        }
        standing
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.helpers, &self.problem) {
            (0, Some(problem)) => return write!(f, "no helper, so nothing is read that takes one: {problem}"),
            (0, None) => return f.write_str("no helper yet"),
            (1, _) => f.write_str("1 helper")?,
            (helpers, _) => write!(f, "{helpers} helpers")?,
        }
        for (index, missing) in self.missing.iter().enumerate() {
            write!(f, "{} {missing}", if index == 0 { ", WITHOUT" } else { ";" })?;
        }
        Ok(())
    }
}
