//! Reading an archive that a signed index lists, and writing down in the ledger what it brings.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use doorward_formats::deb::{self, ArchiveFacts};
use doorward_policy::{KeyFingerprint, Sha256};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::Trust;
use super::ledger::{Archive, Occasion};
use super::repository::{RepositoryStamp, SignedIndexes};

/// Longest one archive is read; the largest have some hundred megabytes.
const ARCHIVE_DEADLINE: Duration = Duration::from_secs(120);

/// How long indexes that were read serve for further archives.
const INDEXES_KEPT: Duration = Duration::from_secs(60);

/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// What became of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Witnessed {
    /// Its files are vouched for from now on.
    Signed {
        /// The package, as dpkg writes it.
        package: String,
        /// Its version.
        version: String,
        /// Files that can be executed or loaded, scripts included.
        files: u64,
    },
    /// Its digest stands in no index signed by a key that counts.
    NotSigned {
        /// Of the archive.
        sha256: Sha256,
        /// What stands in the way of sources of this host, as far as something does.
        problems: Vec<String>,
    },
    /// A signed index lists it, and yet nothing of it counts.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// Indexes as they were read last.
#[derive(Debug)]
struct LastRead {
    indexes: Arc<SignedIndexes>,
    stamp: RepositoryStamp,
    keys: Vec<KeyFingerprint>,
    at: Instant,
}

/// Reads archives, one at a time.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Option<LastRead>>);

impl Witness {
    /// Reads an archive and takes its files into the ledger when a signed index lists it. `keys` are those that count.
    /// Blocks for at most two minutes.
    pub fn read(&self, trust: &Trust, archive: &File, keys: &[KeyFingerprint], occasion: Occasion, now_micros: i64) -> Witnessed {
        let deadline = Instant::now() + ARCHIVE_DEADLINE;
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sha256 = match digest(archive, deadline) {
            Ok(sha256) => sha256,
            Err(error) => return Witnessed::Unusable { reason: error.to_string() },
        };
        let stamp = RepositoryStamp::of(trust.root());
        let is_fresh = |read: &LastRead| read.stamp == stamp && read.keys == keys && read.at.elapsed() < INDEXES_KEPT;
        let indexes = match last.as_ref().filter(|read| is_fresh(read)) {
            Some(read) => Arc::clone(&read.indexes),
            None => {
                let indexes = Arc::new(SignedIndexes::read(trust.root(), keys, now_micros.div_euclid(1_000_000)));
                *last = Some(LastRead { indexes: Arc::clone(&indexes), stamp, keys: keys.to_vec(), at: Instant::now() });
                indexes
            }
        };
        let Some(index) = indexes.find(&sha256) else {
            return Witnessed::NotSigned { sha256, problems: indexes.problems.clone() };
        };
        let facts = match inspect(archive, &sha256, deadline) {
            Ok(facts) => facts,
            Err(reason) => return Witnessed::Unusable { reason },
        };
        let witnessed = Archive {
            package: facts.stem(),
            version: facts.version.clone(),
            architecture: facts.architecture.clone(),
            sha256,
            index: index.path.clone(),
            release: index.release.clone(),
            suite: index.suite.clone(),
            released_at: index.released_at,
            key: index.signed.key,
            key_name: index.signed.name.clone(),
            witnessed_at: now_micros,
            occasion,
        };
        let files: Vec<_> = facts.files.iter().map(|file| (trust.place(file.path.as_bytes()), file.sha256)).collect();
        let scripts: Vec<_> = facts.scripts.iter().map(|script| script.sha256).collect();
        let (package, version) = (witnessed.package.clone(), witnessed.version.clone());
        if !trust.ledger().add(witnessed, &files, &scripts) {
            return Witnessed::Unusable { reason: "the ledger is full".to_owned() };
        }
        Witnessed::Signed { package, version, files: (files.len() + scripts.len()) as u64 }
    }

    /// Lets go of the indexes.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What the archive brings, read from the very bytes of this digest.
fn inspect(archive: &File, expected: &Sha256, deadline: Instant) -> Result<ArchiveFacts, String> {
    let mut bytes = Passing { file: archive, at: 0, hasher: sha2::Sha256::new(), deadline };
    let facts = deb::inspect(io::BufReader::with_capacity(BUFFER_BYTES, &mut bytes)).map_err(|problem| problem.to_string())?;
    io::copy(&mut bytes, &mut io::sink()).map_err(|error| error.to_string())?;
    if Sha256::new(bytes.hasher.finalize().into()) == *expected { Ok(facts) } else { Err("it changed while it was read".to_owned()) }
}

fn digest(archive: &File, deadline: Instant) -> io::Result<Sha256> {
    if !archive.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Passing { file: archive, at: 0, hasher: sha2::Sha256::new(), deadline };
    let mut buffer = vec![0; BUFFER_BYTES];
    while bytes.read(&mut buffer)? > 0 {}
    Ok(Sha256::new(bytes.hasher.finalize().into()))
}

/// The bytes of a file from its beginning, digested as they pass, until a moment. The descriptor's own position is left alone.
struct Passing<'a> {
    file: &'a File,
    at: u64,
    hasher: sha2::Sha256,
    deadline: Instant,
}

impl Read for Passing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "reading it took too long"));
        }
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        self.hasher.update(&into[..count]);
        Ok(count)
    }
}
