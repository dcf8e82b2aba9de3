//! Which folders a scan starts from: each local file system once, every file under one name.
//!
//! The walk itself never crosses into another mount, so what is mounted below a start is either a start of its own or is
//! named as not covered.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use doorward_policy::PathBytes;
use doorward_proto::report::Layer;
use nix::sys::stat::stat;

use super::locality::Locality;
use crate::exec::mount::{Mount, Mounts, id_of};
use crate::exec::walk::{is_user_writable, walk};

/// What to scan.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The root of the file system that paths, packages and lists speak of; `/` but for tests and images.
    pub root: PathBuf,
    /// Files and folders below the root to scan, as absolute paths seen from it; empty means everything.
    pub paths: Vec<PathBytes>,
    /// Absolute paths, seen from the root, that are left out with everything below them.
    pub excluded: Vec<PathBytes>,
    /// Threads; 0 means as many as serve a cold disk well, see [`Self::threads_used`].
    pub threads: usize,
    /// Stay on the file systems the paths are on, as `find -xdev` does.
    pub one_filesystem: bool,
}

/// Threads for each core unless told otherwise.
///
/// PERF: a first scan waits for the disk more than it computes: on two cores 113,000 cold files took 43 s with two threads,
/// 24 s with four, 12 s with eight. A scan that reads nothing takes the same time with any of them.
const THREADS_PER_CORE: usize = 4;

/// Layers of overlays that findings are told by.
const LAYERS_MAX: usize = 1024;

/// Threads at most unless told otherwise; each holds a buffer of 256 KiB.
const THREADS_MAX: usize = 32;

impl Options {
    /// How many threads a scan with these options starts.
    #[must_use]
    pub fn threads_used(&self) -> usize {
        match self.threads {
            0 => thread::available_parallelism().map_or(1, |cores| cores.get().saturating_mul(THREADS_PER_CORE)).min(THREADS_MAX),
            threads => threads,
        }
    }
}

/// A mount that a scan leaves alone, with the reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncovered {
    /// Where it is mounted, seen from the root.
    pub mount_point: PathBytes,
    /// Its type.
    pub filesystem: String,
    /// One sentence.
    pub reason: &'static str,
}

/// A folder to walk, or one file in it.
#[derive(Debug)]
pub(super) struct Start {
    /// Opened as a place only (`O_PATH`).
    pub(super) folder: File,
    /// Its absolute path seen from the root; empty for the root itself, so that a slash and a name can follow.
    pub(super) path: Vec<u8>,
    /// Nothing but this name in it.
    pub(super) only: Option<CString>,
    /// Somebody other than root can put files into a folder above it, up to the root of the scan.
    pub(super) below_user_writable: bool,
}

/// Starts, and what is left out.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) starts: Vec<Start>,
    /// Absolute paths, sorted, that the caller wants left out.
    pub(super) excluded: Vec<Vec<u8>>,
    /// Absolute paths, sorted, of folders that are walked from a start of their own under another name.
    pub(super) walked_elsewhere: Vec<Vec<u8>>,
    pub(super) uncovered: Vec<Uncovered>,
    /// Paths asked for that are not there.
    pub(super) missing: Vec<PathBytes>,
    /// Folders that some overlay is made of, as absolute paths seen from the root, upper ones first.
    layers: Vec<Layer>,
}

/// Part of one file system that is walked.
struct Walked {
    device: (u32, u32),
    part: Vec<u8>,
}

impl Plan {
    /// Makes the plan for `options` from the mounts there are.
    ///
    /// # Errors
    /// When the root is not there.
    pub(super) fn make(options: &Options, mounts: &Mounts) -> io::Result<Self> {
        let root = options.root.canonicalize()?;
        let excluded = options.excluded.iter().map(|path| plain(path.as_bytes())).collect();
        let mut planning = Planning { root, mounts, walked: Vec::new(), plan: Self { excluded, ..Self::default() } };
        let whole = [PathBytes::new(*b"/")];
        let paths = if options.paths.is_empty() { &whole[..] } else { &options.paths };
        for path in paths {
            planning.add_path(&plain(path.as_bytes()));
        }
        if !options.one_filesystem {
            for path in paths {
                planning.add_mounts_below(&plain(path.as_bytes()));
            }
        }
        planning.add_layers();
        planning.plan.excluded.sort();
        planning.plan.walked_elsewhere.sort();
        Ok(planning.plan)
    }
}

impl Plan {
    /// The layer of an overlay that a file lies in.
    pub(super) fn layer_of(&self, path: &PathBytes) -> Option<Layer> {
        self.layers.iter().find(|layer| is_at_or_below(path.as_bytes(), layer.folder.as_bytes())).cloned()
    }
}

/// A plan in the making.
struct Planning<'a> {
    root: PathBuf,
    mounts: &'a Mounts,
    walked: Vec<Walked>,
    plan: Plan,
}

impl Planning<'_> {
    fn add_path(&mut self, path: &[u8]) {
        if self.is_excluded(path) {
            return;
        }
        let place = below(&self.root, path);
        let Ok(file) = open_place(&place) else { return self.plan.missing.push(PathBytes::new(path)) };
        let mount = id_of(&file).and_then(|id| self.mounts.by_id(id));
        if let Some(mount) = mount.filter(|mount| Locality::of(mount) == Locality::Other) {
            return self.leave_out(path, mount, "not a local file system: it is never touched");
        }
        if let Some(mount) = mount {
            let place = place.canonicalize().unwrap_or(place);
            let inner = place.as_os_str().as_bytes().strip_prefix(&*plain(mount.point.as_bytes())).unwrap_or_default();
            if !self.take(mount, [&plain(mount.root.as_bytes()), inner].concat(), path) {
                return;
            }
        }
        self.start(file, path, self.is_below_user_writable(path));
    }

    fn add_mounts_below(&mut self, path: &[u8]) {
        let top = plain(below(&self.root, path).as_os_str().as_bytes());
        let root = plain(self.root.as_os_str().as_bytes());
        for mount in self.mounts.iter() {
            let point = plain(mount.point.as_bytes());
            if point == top || !is_at_or_below(&point, &top) {
                continue;
            }
            let path = &point[root.len()..];
            match Locality::of(mount) {
                Locality::Other => self.leave_out(path, mount, "not a local file system: it is never touched"),
                Locality::Layered => self.leave_out(path, mount, "its layers are scanned where they lie"),
                Locality::Local if !self.is_excluded(path) => self.add_mount(&point, path, mount),
                Locality::Local => {}
            }
        }
    }

    fn add_layers(&mut self) {
        let root = plain(self.root.as_os_str().as_bytes());
        let layers = self.mounts.iter().flat_map(Mount::layers_in_order);
        let mut layers: Vec<_> = layers
            .filter(|(_, folder)| is_at_or_below(folder, &root))
            .map(|(upper, folder)| Layer { upper, folder: PathBytes::new(&folder[root.len()..]) })
            .collect();
        layers.sort_by_key(|layer| !layer.upper);
        layers.truncate(LAYERS_MAX);
        self.plan.layers = layers;
    }

    fn add_mount(&mut self, point: &[u8], path: &[u8], mount: &Mount) {
        // Another mount lies over this one, or over a folder above it, or it went away: nobody reaches its files by this name.
        let Ok(place) = walk(point, self.mounts) else { return };
        let file = File::from(place.file);
        if id_of(&file) != Some(mount.id) {
            return;
        }
        if self.take(mount, plain(mount.root.as_bytes()), path) {
            let above_root = self.root.components().count() - 1;
            let is_below_user_writable = place.user_writable.iter().skip(above_root).any(|writable| *writable);
            self.start(file, path, is_below_user_writable);
        } else {
            self.leave_out(path, mount, "the same files are scanned under another name");
        }
    }

    /// Takes the part of a mount's file system that is seen at `path` into the walk, without what is walked already; false
    /// when that is all of it.
    fn take(&mut self, mount: &Mount, part: Vec<u8>, path: &[u8]) -> bool {
        let same = self.walked.iter().filter(|walked| walked.device == mount.device);
        if same.clone().any(|walked| is_at_or_below(&part, &walked.part)) {
            return false;
        }
        let inner = same.filter(|walked| is_at_or_below(&walked.part, &part));
        self.plan.walked_elsewhere.extend(inner.map(|inner| [path, &inner.part[part.len()..]].concat()));
        self.walked.push(Walked { device: mount.device, part });
        true
    }

    fn start(&mut self, file: File, path: &[u8], below_user_writable: bool) {
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return self.plan.starts.push(Start { folder: file, path: path.to_vec(), only: None, below_user_writable });
        }
        let at = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
        let (folder, name) = (&path[..at], path.get(at + 1..).unwrap_or_default());
        match (open_place(&below(&self.root, folder)), CString::new(name)) {
            (Ok(place), Ok(name)) => {
                self.plan.starts.push(Start { folder: place, path: folder.to_vec(), only: Some(name), below_user_writable });
            }
            _ => self.plan.missing.push(PathBytes::new(path)),
        }
    }

    /// Whether somebody other than root can put files into a folder above `path`. What cannot be looked at counts as writable.
    fn is_below_user_writable(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.into_iter().any(|end| stat(&below(&self.root, &path[..end])).map_or(true, |folder| is_user_writable(&folder)))
    }

    fn leave_out(&mut self, path: &[u8], mount: &Mount, reason: &'static str) {
        let mount_point = PathBytes::new(if path.is_empty() { b"/" } else { path });
        self.plan.uncovered.push(Uncovered { mount_point, filesystem: mount.filesystem.clone(), reason });
    }

    fn is_excluded(&self, path: &[u8]) -> bool {
        self.plan.excluded.iter().any(|excluded| is_at_or_below(path, excluded))
    }
}

/// Opens a place without opening the file there, so that a FIFO or a device is not woken.
fn open_place(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path)
}

/// Both without a slash at the end.
fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// Without slashes at the end, so that the root is empty; with one at the front otherwise.
fn plain(path: &[u8]) -> Vec<u8> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.flat_map(|name| [b"/", name]).flatten().copied().collect()
}

fn below(root: &Path, path: &[u8]) -> PathBuf {
    root.join(Path::new(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path))))
}
