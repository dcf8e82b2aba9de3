//! Publishers: whose signature is on a file, and whether their chain ends at an anchor the site set.
//!
//! What was signed is read in the formats crate; here the public-key operation and the chain are done, with keys and anchors from files
//! alone: no store of the system is used, and nothing is fetched. Findings are kept by content, so a file is read for its signature once
//! for each set of anchors; asking for what is known ([`Publishers::evidence`]) waits for nobody and reads nothing. Whatever cannot be
//! read is no evidence, with the reason, and neither allows nor denies.

mod anchor;
mod cache;
mod chain;
mod content;
mod finding;
mod ima;
mod key;
mod weigh;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_formats::signature::{Container, Fault, Part};
use doorward_policy::{FileKind, PublisherEvidence, Signing};
use doorward_service::Clock;

pub use anchor::{AnchorError, Anchors};
pub use finding::Finding;

use cache::{Cache, Subject};
use content::Unread;

use crate::identify::Identified;

/// How often it is looked whether another's read is over.
const TURN_LOOK: Duration = Duration::from_millis(5);

/// Who waits for what is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Haste {
    /// An execution: never behind a scan.
    Execution,
    /// Nobody who holds up others.
    None,
}

/// Shared by everyone who asks.
#[derive(Debug)]
pub struct Publishers {
    folder: Option<PathBuf>,
    anchors: ArcSwap<Anchors>,
    generation: AtomicU64,
    cache: Mutex<Cache>,
    /// One file at a time is read into memory for executions, and one for everybody else.
    reading: [Mutex<()>; 2],
    clock: Clock,
}

impl Publishers {
    /// Reads the anchors below `folder`, which need not exist. What is faulty there is left out and told.
    #[must_use]
    pub fn open(folder: &Path, clock: Clock) -> (Self, Vec<AnchorError>) {
        let (anchors, errors) = Anchors::read(folder);
        (Self::with(Some(folder.to_owned()), anchors, clock), errors)
    }

    /// Without any anchor: signatures are read and nobody's chain is trusted.
    #[must_use]
    pub fn without_anchors(clock: Clock) -> Self {
        Self::with(None, Anchors::default(), clock)
    }

    fn with(folder: Option<PathBuf>, anchors: Anchors, clock: Clock) -> Self {
        Self {
            folder,
            anchors: ArcSwap::from_pointee(anchors),
            generation: AtomicU64::new(0),
            cache: Mutex::default(),
            reading: Default::default(),
            clock,
        }
    }

    /// Reads the anchors again if their files changed; `None` when they did not. Blocks.
    pub fn renew(&self) -> Option<Vec<AnchorError>> {
        let folder = self.folder.as_deref()?;
        if anchor::stamp(folder) == self.anchors.load().stamp() {
            return None;
        }
        let (anchors, errors) = Anchors::read(folder);
        self.anchors.store(Arc::new(anchors));
        self.generation.fetch_add(1, Ordering::AcqRel);
        Some(errors)
    }

    /// Rises with every change of the anchors.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The anchors that count now.
    #[must_use]
    pub fn anchors(&self) -> Arc<Anchors> {
        self.anchors.load_full()
    }

    /// Whether [`Self::examine`] would find out more than is known. Waits for nobody.
    #[must_use]
    pub fn is_open_about(&self, file: &Identified) -> bool {
        container(file.kind).is_some() && self.known(&Subject::content(file)).is_none()
            || self.anchors.load().has_keys() && self.known(&Subject::inode(file)).is_none()
    }

    /// Finds out who signed an open file that was identified, and keeps it. The file's position is left alone. Blocks for as long as a
    /// read of at most [`content::BYTES_MAX`] takes, or until another's is over; `stop` is asked all the while.
    pub fn examine(&self, file: &File, identified: &Identified, haste: Haste, stop: &dyn Fn() -> bool) {
        let generation = self.generation();
        let anchors = self.anchors();
        let now = self.clock.now_micros();
        let subject = Subject::content(identified);
        if let Some(container) = container(identified.kind)
            && self.known(&subject).is_none()
        {
            let signing = signing(container);
            match self.read(file, identified, container, haste, stop) {
                Ok(signatures) => self.keep(subject, generation, weigh::file(signing, signatures, &anchors, now)),
                Err(Unread::TooLarge) => {
                    let fault = Err(Fault::TooLarge(Part::File));
                    self.keep(subject, generation, weigh::file(signing, fault, &anchors, now));
                }
                // Whoever asks next tries again.
                Err(Unread::Now) => {}
            }
        }
        let subject = Subject::inode(identified);
        if anchors.has_keys() && self.known(&subject).is_none() {
            let digest = |algorithm| self.digest(file, identified, algorithm, haste, stop);
            if let Some(finding) = ima::find(file, &anchors, &digest) {
                self.keep(subject, generation, finding);
            }
        }
    }

    /// The publisher that counts most of those found, as far as is known. Waits for nobody.
    #[must_use]
    pub fn evidence(&self, file: &Identified) -> Option<PublisherEvidence> {
        self.finding(file)?.evidence.clone()
    }

    /// As [`Self::evidence`], with the reason why there is none.
    #[must_use]
    pub fn finding(&self, file: &Identified) -> Option<Arc<Finding>> {
        let content = container(file.kind).and_then(|_| self.known(&Subject::content(file)));
        let inode = self.known(&Subject::inode(file));
        content.into_iter().chain(inode).max_by_key(|finding| finding.weight())
    }

    fn known(&self, subject: &Subject) -> Option<Arc<Finding>> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(subject, self.generation(), self.clock.now_micros())
    }

    fn keep(&self, subject: Subject, generation: u64, finding: Finding) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(subject, generation, finding);
    }

    fn read(
        &self,
        file: &File,
        identified: &Identified,
        container: Container,
        haste: Haste,
        stop: &dyn Fn() -> bool,
    ) -> content::Signatures {
        let _turn = self.turn(haste, stop).ok_or(Unread::Now)?;
        content::signatures(file, identified, container, stop)
    }

    /// Waits until nobody else of this haste reads, or until `stop`.
    fn turn(&self, haste: Haste, stop: &dyn Fn() -> bool) -> Option<MutexGuard<'_, ()>> {
        let reading = &self.reading[haste as usize];
        loop {
            match reading.try_lock() {
                Ok(turn) => return Some(turn),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if stop() => return None,
                Err(TryLockError::WouldBlock) => thread::sleep(TURN_LOOK),
            }
        }
    }

    fn digest(
        &self,
        file: &File,
        identified: &Identified,
        algorithm: doorward_formats::signature::DigestAlgorithm,
        haste: Haste,
        stop: &dyn Fn() -> bool,
    ) -> Option<Vec<u8>> {
        let _turn = self.turn(haste, stop)?;
        content::digest(file, identified, algorithm, stop)
    }
}

/// The only format whose signature counts for a file of this kind: that by which it would be loaded.
const fn container(kind: FileKind) -> Option<Container> {
    match kind {
        FileKind::Pe => Some(Container::Pe),
        FileKind::Jar => Some(Container::Jar),
        FileKind::KernelModule => Some(Container::KernelModule),
        FileKind::ElfExecutable | FileKind::ElfLibrary | FileKind::Script | FileKind::PythonBytecode => None,
    }
}

const fn signing(container: Container) -> Signing {
    match container {
        Container::Pe => Signing::Authenticode,
        Container::Jar => Signing::Jar,
        Container::KernelModule => Signing::KernelModule,
    }
}
