//! The headers of a database as they stood at one moment, whatever its format.
//!
//! No lock is taken and nothing is written beside the database. The files' state before and after reading says whether one
//! moment was seen; where it was not, nothing of what was read counts.

use std::fs::{self, File};
use std::io::BufReader;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use doorward_formats::rpm::{Bdb, Fault, Ndb};

use super::super::TrustError;
use super::folder::{Format, Place};
use super::sqlite;

/// Bytes read at a time; a header has some ten thousand.
const BUFFER_BYTES: usize = 64 * 1024;

/// How a database's files looked at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Stamp(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamp {
    /// Of the database below `root`; `None` where there is none.
    pub(in super::super) fn of(root: &Path) -> Option<Self> {
        Place::find(root).map(|place| place.stamp())
    }
}

impl Place {
    pub(super) fn stamp(&self) -> Stamp {
        let files = [self.file.clone(), self.beside(sqlite::WAL), self.beside(sqlite::JOURNAL)];
        Stamp(files.iter().map(|file| state(file)).collect())
    }

    /// Gives out every package newer than `newer_than`, by its number and its header, until told to stop.
    pub(super) fn each(&self, newer_than: u32, give: impl FnMut(u32, &[u8]) -> ControlFlow<()>) -> Result<(), TrustError> {
        let unusable = |fault: Fault| TrustError::Unusable { path: self.file.clone(), fault: fault.to_string() };
        match self.format {
            Format::Sqlite => sqlite::each(self, newer_than, give),
            Format::Bdb => Bdb::open(self.reader()?).and_then(|mut bdb| bdb.each(newer_than, give)).map_err(unusable),
            Format::Ndb => {
                let mut ndb = Ndb::open(self.reader()?).map_err(unusable)?;
                ndb.each(newer_than, give).map_err(unusable)?;
                let is_same = Ndb::open(self.reader()?).is_ok_and(|now| now.generation() == ndb.generation());
                if is_same { Ok(()) } else { Err(TrustError::Unsettled) }
            }
        }
    }

    fn reader(&self) -> Result<BufReader<File>, TrustError> {
        Ok(BufReader::with_capacity(BUFFER_BYTES, Self::open(&self.file)?))
    }
}

/// An empty file says as much as none: readers of rpm's leave empty logs behind.
fn state(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.len() > 0)?;
    Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}
