//! One thread of a scan: takes folders from the queue, looks at every file in them, settles candidates.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use doorward_policy::path::PATH_BYTES_MAX;
use doorward_policy::{DigestAlgorithm, Evidence, FileKind, Fit, PathBytes};
use nix::dir::Type;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstatat};

use super::inventory::Inventory;
use super::queue::Folder;
use super::run::{Finding, Running, Scan};
use super::walk::{self, Listing};
use super::{Reading, Settled};
use crate::identify::store::{Known, Memo};
use crate::identify::{FilesystemId, Identified, Inode, NameClaim, Reader, SkipReason, open_at};
use crate::trust::Haste;

/// Findings handed over at a time.
const FINDINGS_BATCH_MAX: usize = 256;

/// Findings wait no longer than this for a batch to fill, as long as folders are being finished.
const FINDINGS_WAIT_MS: u64 = 500;

/// Folders within folders that one thread walks at once when the queue is full; what lies deeper is skipped, and counted.
const DEPTH_MAX: usize = 64;

/// Leased files that one thread tries again; more are skipped at once.
const LEASED_MAX: usize = 1024;

/// How long a thread waits for leases at its end: longer than the kernel's `lease-break-time`, 45 s unless somebody set it.
const LEASE_PATIENCE: Duration = Duration::from_secs(60);

/// How long one file is read for its signatures.
const SIGNATURE_PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two tries.
const LEASE_PAUSE: Duration = Duration::from_millis(100);

/// What one thread, or all, came to.
#[derive(Default)]
pub(super) struct Part {
    pub(super) total: Reading,
    pub(super) skipped: BTreeMap<SkipReason, u64>,
    pub(super) inventory: Inventory,
}

pub(super) struct Worker<'a> {
    running: &'a Running<'a>,
    reader: Reader,
    memo: Memo,
    /// Counted since the progress was last told.
    counts: Reading,
    part: Part,
    findings: Vec<Finding>,
    handed_over: Instant,
    /// The last file system met, by device number.
    filesystem: Option<(u64, FilesystemId)>,
    /// Files met under a lease, which are tried again before the thread ends.
    leased: Vec<(Folder, CString)>,
}

/// Which time a file is met in one scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meeting {
    First,
    /// After a lease: it is counted already.
    Again,
}

/// A folder being walked.
struct Place<'a> {
    start: usize,
    /// From the start, without a slash at the end; empty for the start itself.
    path: &'a [u8],
    /// What its files' absolute paths begin with.
    prefix: Vec<u8>,
    listing: Listing,
    /// The plan names something in it.
    is_planned: bool,
}

impl Place<'_> {
    fn path_of(&self, name: &CStr) -> Vec<u8> {
        [&self.prefix, name.to_bytes()].concat()
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(running: &'a Running<'a>) -> Self {
        Self {
            running,
            reader: Reader::default(),
            memo: Memo::default(),
            counts: Reading::default(),
            part: Part::default(),
            findings: Vec::new(),
            handed_over: Instant::now(),
            filesystem: None,
            leased: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> Part {
        while let Some(turn) = self.running.queue.next() {
            self.walk(&turn.folder, 0);
            self.tell_progress();
            if self.running.is_stopped() {
                self.running.queue.close();
            } else if self.handed_over.elapsed() >= Duration::from_millis(FINDINGS_WAIT_MS) {
                self.hand_over();
            }
        }
        self.try_leased_again();
        self.hand_over();
        self.running.scan.identifier.store().remember(&mut self.memo);
        self.part
    }

    fn walk(&mut self, folder: &Folder, depth: usize) {
        let start = &self.running.plan.starts[folder.start];
        let mut place = match self.place(folder) {
            Ok(Some(place)) => place,
            Ok(None) => return,
            Err((path, reason)) => return self.skip(&path, reason),
        };
        if let Some(name) = start.only.as_ref().filter(|_| folder.path.is_empty()) {
            return self.meet(&place, name, None, depth);
        }
        while let Some(entry) = place.listing.entries.next() {
            if self.running.is_stopped() {
                return;
            }
            match entry {
                Ok(entry) => self.meet(&place, entry.file_name(), entry.file_type(), depth),
                Err(error) => return self.skip(&PathBytes::new(place.prefix), error.into()),
            }
        }
    }

    /// Opens a folder; `Ok(None)` when something else is mounted there.
    fn place<'f>(&self, folder: &'f Folder) -> Result<Option<Place<'f>>, (PathBytes, SkipReason)> {
        let start = &self.running.plan.starts[folder.start];
        let mut prefix = start.path.clone();
        if !folder.path.is_empty() {
            prefix.push(b'/');
            prefix.extend_from_slice(&folder.path);
        }
        let mut listing = match walk::open(&start.folder, &folder.path) {
            Ok(Some(listing)) => listing,
            Ok(None) => return Ok(None),
            Err(reason) => return Err((PathBytes::new(prefix), reason)),
        };
        listing.user_writable |= folder.below_user_writable;
        let plan = &self.running.plan;
        let is_planned = plan.excluded.iter().chain(&plan.walked_elsewhere).any(|path| parent(path) == prefix);
        prefix.push(b'/');
        Ok(Some(Place { start: folder.start, path: &folder.path, prefix, listing, is_planned }))
    }

    /// The first try made the kernel ask the holders to give their leases up; it takes them away after a while.
    fn try_leased_again(&mut self) {
        let deadline = Instant::now() + LEASE_PATIENCE;
        let mut left = std::mem::take(&mut self.leased);
        while !left.is_empty() && !self.running.is_stopped() {
            let is_last = Instant::now() >= deadline;
            left.retain(|(folder, name)| {
                let Ok(Some(place)) = self.place(folder) else { return false };
                match stat(&place, name).and_then(|stat| self.file(&place, name, &stat, Meeting::Again)) {
                    Err(SkipReason::Leased) if !is_last => return true,
                    Err(reason) if reason != SkipReason::Stopped => self.skip(&PathBytes::new(place.path_of(name)), reason),
                    _ => {}
                }
                false
            });
            self.tell_progress();
            if !left.is_empty() {
                thread::sleep(LEASE_PAUSE);
            }
        }
    }

    /// Meets one name in a folder, of this type as far as the folder tells.
    fn meet(&mut self, place: &Place<'_>, name: &CStr, kind: Option<Type>, depth: usize) {
        if matches!(name.to_bytes(), b"." | b"..") || kind == Some(Type::Symlink) {
            return;
        }
        match self.look(place, name, kind, depth) {
            Ok(()) | Err(SkipReason::Stopped) => {}
            Err(SkipReason::Leased) if self.leased.len() < LEASED_MAX => {
                let below_user_writable = place.listing.user_writable;
                self.leased.push((Folder { start: place.start, path: place.path.into(), below_user_writable }, name.to_owned()));
            }
            Err(reason) => self.skip(&PathBytes::new(place.path_of(name)), reason),
        }
    }

    fn look(&mut self, place: &Place<'_>, name: &CStr, kind: Option<Type>, depth: usize) -> Result<(), SkipReason> {
        if place.is_planned {
            let path = place.path_of(name);
            if self.running.plan.excluded.binary_search(&path).is_ok() {
                return Err(SkipReason::Excluded);
            }
            if self.running.plan.walked_elsewhere.binary_search(&path).is_ok() {
                return Ok(());
            }
        }
        if place.prefix.len() + name.count_bytes() > PATH_BYTES_MAX {
            return Err(SkipReason::PathTooLong);
        }
        match kind {
            Some(Type::Directory) => self.enter(place, name, depth),
            Some(Type::File) => self.file(place, name, &stat(place, name)?, Meeting::First),
            Some(_) => Err(SkipReason::NotRegular),
            None => {
                let stat = stat(place, name)?;
                match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
                    SFlag::S_IFDIR => self.enter(place, name, depth),
                    SFlag::S_IFLNK => Ok(()),
                    _ => self.file(place, name, &stat, Meeting::First),
                }
            }
        }
    }

    /// Leaves a folder to whoever is free next, or walks it at once when the queue is full.
    fn enter(&mut self, place: &Place<'_>, name: &CStr, depth: usize) -> Result<(), SkipReason> {
        let path = if place.path.is_empty() { name.to_bytes().to_vec() } else { [place.path, b"/", name.to_bytes()].concat() };
        let folder = Folder { start: place.start, path: path.into(), below_user_writable: place.listing.user_writable };
        match self.running.queue.push(folder) {
            Ok(()) => Ok(()),
            Err(_) if depth >= DEPTH_MAX => Err(SkipReason::TooDeep),
            Err(folder) => {
                self.walk(&folder, depth + 1);
                Ok(())
            }
        }
    }

    fn file(&mut self, place: &Place<'_>, name: &CStr, stat: &FileStat, meeting: Meeting) -> Result<(), SkipReason> {
        let inode = Inode::of(self.filesystem(place, stat)?, stat)?;
        if meeting == Meeting::First {
            self.counts.files += 1;
            self.counts.bytes += inode.attributes.size;
        }
        if stat.st_dev != place.listing.device && walk::is_mounted_over(&place.listing, name)? {
            return Err(SkipReason::MountedOver);
        }
        if inode.identity.size == 0 {
            return Ok(());
        }
        let running = self.running;
        let path = OnceCell::new();
        let path = || path.get_or_init(|| PathBytes::new(place.path_of(name)));
        let wanted = || running.scan.trust.and_then(|trust| trust.wanted_digest(path()));
        let claim = NameClaim::of(name.to_bytes());
        let candidate = match running.pass.look_up(&inode, claim, wanted) {
            Known::Other => None,
            Known::Candidate(known) => Some(known),
            Known::Nothing => match (stat.st_nlink > 1).then(|| running.pass.look_up_recent(&self.memo, &inode, wanted())).flatten() {
                Some(known) => Some(known),
                None => self.examine(place, name, claim, wanted)?,
            },
        };
        if let Some(candidate) = candidate {
            self.look_for_publisher(place, name, &candidate)?;
            self.settle(place, name, path().clone(), candidate);
        }
        Ok(())
    }

    fn examine(
        &mut self,
        place: &Place<'_>,
        name: &CStr,
        claim: NameClaim,
        wanted: impl Fn() -> Option<DigestAlgorithm>,
    ) -> Result<Option<Identified>, SkipReason> {
        let identifier = self.running.scan.identifier;
        let file = open_at(&place.listing.folder, name)?;
        let examined = identifier.examine(&mut self.reader, &file, claim, |_| wanted(), &|| self.running.is_stopped())?;
        self.memo.keep(identifier.store(), &examined, claim);
        if let Some(candidate) = &examined.candidate {
            self.counts.digested_files += 1;
            self.counts.digested_bytes += candidate.attributes.size;
        }
        if self.memo.is_full() {
            identifier.store().remember(&mut self.memo);
        }
        Ok(examined.candidate)
    }

    /// Reads a file for its signatures, once for each content.
    fn look_for_publisher(&self, place: &Place<'_>, name: &CStr, candidate: &Identified) -> Result<(), SkipReason> {
        if let Some(publishers) = self.running.scan.publishers.filter(|publishers| publishers.is_open_about(candidate)) {
            let file = open_at(&place.listing.folder, name)?;
            let due = Instant::now() + SIGNATURE_PATIENCE;
            publishers.examine(&file, candidate, Haste::None, &|| self.running.is_stopped() || Instant::now() >= due);
        }
        Ok(())
    }

    fn settle(&mut self, place: &Place<'_>, name: &CStr, path: PathBytes, file: Identified) {
        let scan = self.running.scan;
        let user_writable_folder = place.listing.user_writable;
        self.counts.candidates += 1;
        let claim = scan.trust.and_then(|trust| {
            let claim = trust.owner(&path).map(|owner| owner.fit(&file.digests));
            let compiled = || {
                let may_be = file.kind == FileKind::PythonBytecode && !user_writable_folder;
                let package = may_be.then(|| trust.compiled(&path, &file.identity, &place.listing.folder, name)).flatten()?;
                Some((package, Fit::Compiled))
            };
            let (package, fit) = claim.or_else(compiled)?;
            Some((package, fit, trust.describe(package, fit)))
        });
        let package = claim.as_ref().map(|(package, fit, _)| (*package, *fit));
        let publisher = scan.publishers.and_then(|publishers| publishers.evidence(&file));
        let package_evidence = scan.judge.strengthen(&path, &file, claim.map(|(.., evidence)| evidence));
        let evidence = Evidence { package: package_evidence, publisher };
        let settled = scan.judge.settle(&path, &file, &evidence);
        if let Some((package, fit)) = package {
            self.part.inventory.count(package, settled == Settled::Package, fit);
        }
        match settled {
            Settled::Package => self.counts.package_trusted += 1,
            Settled::Publisher => {
                self.counts.otherwise_trusted += 1;
                evidence.publisher.iter().for_each(|publisher| self.part.inventory.count_publisher(publisher, 1));
            }
            Settled::Otherwise => self.counts.otherwise_trusted += 1,
            Settled::Unresolved => {
                self.counts.unresolved += 1;
                let layer = self.running.plan.layer_of(&path);
                self.findings.push(Finding { path, file, evidence, user_writable_folder, layer });
                if self.findings.len() >= FINDINGS_BATCH_MAX {
                    self.hand_over();
                }
            }
        }
    }

    fn hand_over(&mut self) {
        self.handed_over = Instant::now();
        if !self.findings.is_empty() && self.running.scan.sink.findings(std::mem::take(&mut self.findings)).is_break() {
            self.running.is_refused.store(true, Ordering::Relaxed);
        }
    }

    fn filesystem(&mut self, place: &Place<'_>, stat: &FileStat) -> Result<FilesystemId, SkipReason> {
        match self.filesystem {
            Some((device, id)) if device == stat.st_dev => Ok(id),
            _ => {
                // By the file's own device: one overlay shows the inode numbers of several file systems, each under a device number
                // of its own.
                let id = self.running.scan.identifier.filesystems().id(stat.st_dev, &place.listing.folder)?;
                self.filesystem = Some((stat.st_dev, id));
                Ok(id)
            }
        }
    }

    fn skip(&mut self, path: &PathBytes, reason: SkipReason) {
        self.counts.skipped += 1;
        self.part.skip(self.running.scan, path, reason);
    }

    fn tell_progress(&mut self) {
        self.part.total.add(&self.counts);
        self.running.scan.progress.add(&mut self.counts);
    }
}

impl Part {
    pub(super) fn skip(&mut self, scan: &Scan<'_>, path: &PathBytes, reason: SkipReason) {
        *self.skipped.entry(reason).or_default() += 1;
        scan.sink.skipped(path, reason);
    }

    pub(super) fn add(&mut self, other: Self) {
        self.total.add(&other.total);
        self.inventory.add(&other.inventory);
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
    }
}

fn stat(place: &Place<'_>, name: &CStr) -> Result<FileStat, SkipReason> {
    Ok(fstatat(&place.listing.folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

/// The folder a path is in; empty for what lies in the root.
fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at])
}
