//! Checking every packaged file against its package: what anyone changed of what packages brought, programs or not.
//! Configuration is left to its administrator. Reads files once, in parallel, takes the digest that the package lists and
//! remembers nothing. Whoever signed a package, and whether its digests are worth trust, makes no difference here.

use std::ffi::CString;
use std::fs::File;
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use doorward_policy::{ListedDigest, PathBytes};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::database::{Database, Lists};
use super::{Problems, TrustError, rpm};
use crate::identify::WantedDigest;

/// Threads for each core unless told otherwise.
///
/// PERF: most packaged files are small, so that a cold disk keeps its readers waiting: on two cores 91,000 files took 20 s with
/// two threads, 13 s with eight, 10.7 s with sixteen.
const THREADS_PER_CORE: usize = 8;

/// Threads at most unless told otherwise.
const THREADS_MAX: usize = 32;

/// Files handed to a thread at a time.
const BATCH_FILES: usize = 128;

/// Batches waiting for a thread.
const BATCHES_WAITING_MAX: usize = 16;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 128 * 1024;

/// Changed paths kept by name; further ones are only counted.
const NAMED_MAX: usize = 1000;

/// What became of every packaged file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// With the digest their package lists.
    pub matching: u64,
    /// With other content, or no longer regular files.
    pub modified: u64,
    /// Not there.
    pub missing: u64,
    /// Not readable by this process.
    pub unreadable: u64,
    /// Read.
    pub bytes: u64,
    /// The first so many that do not match, in no order.
    pub named: Vec<(PathBytes, Finding)>,
}

/// What is wrong with a packaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Other content than the package's, or no regular file.
    Modified,
    /// Not there.
    Missing,
    /// Not to be read by this process.
    Unreadable,
}

/// A packaged file as it should be.
struct Expected {
    path: CString,
    digest: ListedDigest,
    /// Where the package lists it: a file of another size is another without being read.
    size: Option<u64>,
    may_be_missing: bool,
}

type Batch = Vec<Expected>;

/// Verifies every packaged file below `root` on `threads` threads, 0 for as many as serve the disk best; `Ok(None)` when there is no package
/// database.
///
/// # Errors
/// When a database cannot be read.
pub fn verify(root: &Path, threads: usize) -> Result<Option<Verification>, TrustError> {
    let dpkg = Database::open(root)?;
    let folder = File::open(root).map_err(|source| TrustError::Unreadable { path: root.to_owned(), source })?;
    let (send, batches) = sync_channel(BATCHES_WAITING_MAX);
    let batches = Mutex::new(batches);
    let threads = match threads {
        0 => thread::available_parallelism().map_or(1, NonZero::get).saturating_mul(THREADS_PER_CORE).min(THREADS_MAX),
        threads => threads,
    };
    let mut whole = Verification::default();
    let mut has_rpm = Ok(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| verify_batches(&folder, &batches))).collect();
        let mut batch = Batch::new();
        let mut give = |path: &[u8], digest, size, may_be_missing| {
            let Ok(path) = CString::new(path) else { return };
            batch.push(Expected { path, digest, size, may_be_missing });
            if batch.len() == BATCH_FILES {
                // Fails only when every worker is gone, which is told when they are joined.
                let _ = send.send(std::mem::take(&mut batch));
            }
        };
        if let Some(database) = &dpkg {
            each_digest(database, |path, digest| give(path, digest, None, false));
        }
        has_rpm = rpm::each_digest(root, |path, file, digest| give(path, digest, Some(file.size), file.may_be_missing));
        let _ = send.send(batch);
        drop(send);
        for worker in workers {
            match worker.join() {
                Ok(part) => whole.add(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let has_any = has_rpm? || dpkg.is_some();
    Ok(has_any.then_some(whole))
}

fn each_digest(database: &Database, mut give: impl FnMut(&[u8], ListedDigest)) {
    let mut problems = Problems::default();
    let diverted = database.diversions(&mut problems);
    let mut lists = Lists::default();
    for package in database.packages(&mut problems) {
        database.lists(&package, &mut lists, &mut problems);
        lists.claims(&package, &diverted, &mut problems, |claim| {
            if let Some(md5) = claim.md5.filter(|_| !claim.is_conffile) {
                give(claim.path, md5.into());
            }
        });
    }
}

fn verify_batches(root: &File, batches: &Mutex<Receiver<Batch>>) -> Verification {
    let mut part = Verification::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let batch = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return part };
        for Expected { path, digest: expected, size, may_be_missing } in batch {
            match digest(root, &path, expected, size, &mut buffer, &mut part.bytes) {
                Ok(digest) if digest == expected => part.matching += 1,
                Err(Errno::ENOENT | Errno::ENOTDIR) if may_be_missing => {}
                Ok(_) | Err(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO) => part.note(&path, Finding::Modified),
                Err(Errno::ENOENT | Errno::ENOTDIR) => part.note(&path, Finding::Missing),
                Err(_) => part.note(&path, Finding::Unreadable),
            }
        }
    }
}

/// [`Errno::ENXIO`] stands for what is no file, or none of this size.
fn digest(
    root: impl AsFd,
    path: &CString,
    expected: ListedDigest,
    size: Option<u64>,
    buffer: &mut [u8],
    bytes: &mut u64,
) -> Result<ListedDigest, Errno> {
    // Folders on the way may be links, below the root; the file itself may not.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let file = File::from(openat2(root, path.as_c_str(), how)?);
    if !file.metadata().is_ok_and(|metadata| metadata.is_file() && size.is_none_or(|size| metadata.len() == size)) {
        return Err(Errno::ENXIO);
    }
    let mut digest = WantedDigest::new(expected.algorithm());
    loop {
        match nix::unistd::read(&file, buffer) {
            Ok(0) => return Ok(digest.finish()),
            Ok(count) => {
                digest.update(&buffer[..count]);
                *bytes += count as u64;
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

impl Verification {
    /// Packaged files with a digest.
    #[must_use]
    pub const fn files(&self) -> u64 {
        self.matching + self.modified + self.missing + self.unreadable
    }

    fn note(&mut self, path: &CString, finding: Finding) {
        match finding {
            Finding::Modified => self.modified += 1,
            Finding::Missing => self.missing += 1,
            Finding::Unreadable => self.unreadable += 1,
        }
        if self.named.len() < NAMED_MAX {
            self.named.push((PathBytes::new([b"/", path.as_bytes()].concat()), finding));
        }
    }

    fn add(&mut self, other: Self) {
        self.matching += other.matching;
        self.modified += other.modified;
        self.missing += other.missing;
        self.unreadable += other.unreadable;
        self.bytes += other.bytes;
        self.named.extend(other.named);
        self.named.truncate(NAMED_MAX);
    }
}
