//! The least work that finds, reads and digests the candidates of a tree: what a scan is measured against.
//!
//! As many threads as a scan has take folders from one stack, open every regular file, look at its head, and give
//! candidates the digests a scan gives them. Nothing is checked, remembered, judged or reported, no inode is asked for but a
//! candidate's, which is read once however many names it has, and the paths of which packages list an MD5 are known
//! beforehand.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{path::Path, thread};

use anyhow::{Result, anyhow};
use doorward_formats::{Guess, HEAD_BYTES, Kind};
use nix::dir::{Dir, Type};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use sha2::Digest as _;

use super::round::Outcome;

const BUFFER_BYTES: usize = 256 * 1024;

/// How long a thread that found no folder waits for others to find some.
const IDLE: Duration = Duration::from_micros(200);

/// Walks the file system that `root` is on. `want_md5` is asked with absolute paths below the root.
pub(super) fn run(root: &Path, want_md5: &(dyn Fn(Vec<u8>) -> bool + Sync), threads: usize) -> Result<Outcome> {
    let root = File::open(root)?;
    let device = root.metadata()?.dev();
    let (waiting, unfinished) = (Mutex::new(vec![Vec::new()]), AtomicUsize::new(1));
    let shared = Shared { root, device, want_md5, waiting, unfinished, linked: Mutex::default() };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| shared.work())).collect();
        workers.into_iter().try_fold(Outcome::default(), |mut sum, worker| {
            let part = worker.join().map_err(|_| anyhow!("a thread of the limit panicked"))?;
            sum.files += part.files;
            sum.candidates += part.candidates;
            sum.digested_bytes += part.digested_bytes;
            Ok(sum)
        })
    })
}

struct Shared<'a> {
    root: File,
    device: u64,
    want_md5: &'a (dyn Fn(Vec<u8>) -> bool + Sync),
    /// Paths of folders, without a slash at the end.
    waiting: Mutex<Vec<Vec<u8>>>,
    unfinished: AtomicUsize,
    /// Inodes of candidates with several names that were read under one of them.
    linked: Mutex<HashSet<u64>>,
}

impl Shared<'_> {
    fn work(&self) -> Outcome {
        let mut done = Outcome::default();
        let mut buffer = vec![0; BUFFER_BYTES];
        while self.unfinished.load(Ordering::Acquire) > 0 {
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match next {
                Some(path) => {
                    // What cannot be listed or read is left out: a scan skips it too.
                    let _ = self.folder(&path, &mut buffer, &mut done);
                    self.unfinished.fetch_sub(1, Ordering::Release);
                }
                None => thread::sleep(IDLE),
            }
        }
        done
    }

    fn folder(&self, path: &[u8], buffer: &mut [u8], done: &mut Outcome) -> Result<()> {
        let relative = path.strip_prefix(b"/").filter(|path| !path.is_empty()).unwrap_or(b".");
        let folder = openat(&self.root, relative, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        if fstat(&folder)?.st_dev != self.device {
            return Ok(());
        }
        for entry in Dir::from_fd(folder.try_clone()?)? {
            let entry = entry?;
            let name = entry.file_name();
            match entry.file_type() {
                Some(Type::Directory) if !matches!(name.to_bytes(), b"." | b"..") => {
                    self.unfinished.fetch_add(1, Ordering::AcqRel);
                    self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push([path, b"/", name.to_bytes()].concat());
                }
                Some(Type::File) => {
                    done.files += 1;
                    let want_md5 = || (self.want_md5)([path, b"/", name.to_bytes()].concat());
                    let _ = self.file(&folder, name, want_md5, buffer, done);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&self, folder: &OwnedFd, name: &CStr, want_md5: impl Fn() -> bool, buffer: &mut [u8], done: &mut Outcome) -> Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOATIME | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(folder.as_fd(), name, flags, Mode::empty())?);
        let head = file.read_at(&mut buffer[..HEAD_BYTES], 0)?;
        let is_candidate = match Kind::of_head(&buffer[..head]) {
            Guess::Certain(_) => true,
            Guess::NeedsMore(format) => format.confirm(&mut file)?.is_some(),
            Guess::Not if doorward_formats::named_like_jar(name.to_bytes()) => doorward_formats::Format::Zip.confirm(&mut file)?.is_some(),
            Guess::Not => doorward_formats::named_like_compressed_module(name.to_bytes()),
        };
        if !is_candidate {
            return Ok(());
        }
        done.candidates += 1;
        let stat = fstat(&file)?;
        if stat.st_nlink > 1 && !self.linked.lock().unwrap_or_else(PoisonError::into_inner).insert(stat.st_ino) {
            return Ok(());
        }
        let (mut sha256, mut blake3) = (sha2::Sha256::new(), blake3::Hasher::new());
        let mut md5 = want_md5().then(fast_md5::Md5::new);
        let (mut kept, mut at) = (head, 0);
        loop {
            let count = kept + file.read_at(&mut buffer[kept..], at + kept as u64)?;
            if count == 0 {
                break;
            }
            sha256.update(&buffer[..count]);
            blake3.update(&buffer[..count]);
            if let Some(md5) = &mut md5 {
                md5.update(&buffer[..count]);
            }
            at += count as u64;
            kept = 0;
        }
        done.digested_bytes += at;
        std::hint::black_box((sha256.finalize(), blake3.finalize(), md5.map(fast_md5::Md5::finalize)));
        Ok(())
    }
}
