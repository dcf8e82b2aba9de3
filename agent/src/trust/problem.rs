//! What was wrong with a package database: single faults are counted and passed over, errors keep the old generation.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use doorward_policy::PackageManager;

use crate::health::FailureReason;

/// Faults told in words, for the log; the others are only counted.
const SAMPLES_MAX: usize = 8;

/// Faults that cost one line, one stanza or one package's lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    counts: BTreeMap<&'static str, u64>,
    samples: Vec<String>,
}

impl Problems {
    /// Notes a fault in `file`, a name of our own making and never one from inside the database.
    pub(super) fn note(&mut self, word: &'static str, file: &str, fault: impl fmt::Display) {
        *self.counts.entry(word).or_default() += 1;
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(format!("{file}: {fault}"));
        }
    }

    /// Faults by the kind of thing they were in: `status`, `updates`, `diversions`, `list`, `md5sums`, `conffiles`; `header` and
    /// `files` of rpm.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// The first few in words, each with its file and line; safe to log.
    #[must_use]
    pub fn samples(&self) -> &[String] {
        &self.samples
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Why there is no (new) generation. Where there was one, it stays.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A part of the database could not be read.
    #[error("cannot read the package database at {}: {source}", path.display())]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A part of it is larger than any database has.
    #[error("{} has more than {limit} bytes: no package database is that large", path.display())]
    TooLarge {
        /// What was to be read.
        path: PathBuf,
        /// Its limit.
        limit: u64,
    },
    /// It is no database, or a damaged one.
    #[error("the package database {} cannot be used: {fault}", path.display())]
    Unusable {
        /// What was to be read.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// It kept changing while it was read; the next change is waited for.
    #[error("the package database kept changing while it was read")]
    Unsettled,
    /// The status file ends in the middle of a package, is empty or gone where it was there before, or lists are missing or
    /// damaged.
    #[error("the package database is incomplete ({0}): the old one stays")]
    Incomplete(&'static str),
    /// Changes cannot be noticed.
    #[error("cannot watch the package database: {0}")]
    Watch(#[source] notify::Error),
    /// No thread could be started.
    #[error("cannot start the thread that watches the package database: {0}")]
    Thread(#[source] io::Error),
}

/// A manager's database that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", manager.word())]
pub struct Unread {
    /// Whose it is.
    pub manager: PackageManager,
    /// Why not.
    #[source]
    pub error: TrustError,
}

impl From<PackageManager> for FailureReason {
    fn from(manager: PackageManager) -> Self {
        match manager {
            PackageManager::Dpkg => Self::DpkgError,
            PackageManager::Rpm => Self::RpmError,
        }
    }
}
