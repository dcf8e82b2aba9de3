//! What the host cannot do without, by inode: the unblockable closure (PID 1, the ELF loaders and the agent itself), and the wider boot
//! closure (shell, remote access, package manager, and the libraries all of them need).
//!
//! Being found here is a claim only; it takes package evidence or a blessed digest to prove it. How libraries are found is in
//! [`library`].

use std::collections::{HashSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use doorward_formats::{Elf, Kind, Needs};
use doorward_policy::PathBytes;
use nix::libc;
use nix::sys::stat::fstat;

use crate::identify::{FilesystemId, Identifier, Identity, Inode};
use crate::list::ClosureClaim;

mod library;

use library::Libraries;

/// Programs of which the host has at least these two for certain: whatever is PID 1, and this one.
const PROGRAMS: [&str; 2] = ["/proc/1/exe", "/proc/self/exe"];

/// Where the wider closure begins, below the root; what is not there is left out. The libraries of all of them belong to it too.
const BOOT_PROGRAMS: &[&str] = &[
    // Shells, and what their scripts and people begin with.
    "bin/sh",
    "bin/bash",
    "bin/dash",
    "usr/bin/ls",
    "usr/bin/mount",
    "usr/bin/login",
    "usr/bin/su",
    "usr/bin/sudo",
    "usr/sbin/agetty",
    // Remote access.
    "usr/sbin/sshd",
    "usr/lib/openssh/sshd-session",
    "usr/lib/openssh/sshd-auth",
    "usr/libexec/openssh/sshd-session",
    "usr/libexec/openssh/sshd-auth",
    // Package managers, and what the scripts of packages need.
    "usr/bin/dpkg",
    "usr/bin/dpkg-deb",
    "usr/bin/dpkg-split",
    "usr/bin/apt",
    "usr/bin/apt-get",
    "usr/lib/apt/methods/http",
    "usr/lib/apt/methods/store",
    "usr/lib/apt/methods/gpgv",
    "usr/bin/gpgv",
    "usr/bin/tar",
    "usr/bin/perl",
    "usr/bin/deb-systemd-helper",
    "usr/sbin/ldconfig",
    "usr/bin/rpm",
    "usr/bin/dnf",
    "usr/bin/yum",
    "usr/bin/microdnf",
    "usr/bin/zypper",
    "usr/bin/python3",
    // The service manager.
    "usr/bin/systemctl",
];
/// Members at most; a Debian with everything above has some 120.
const MEMBERS_MAX: usize = 1_024;

type Key = (FilesystemId, u64);

/// A file the host cannot do without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it is, links resolved.
    pub path: PathBytes,
    key: Key,
}

/// Members by filesystem and inode number: an update gives them new inodes, so they are found again with every package generation.
#[derive(Debug, Default)]
pub struct Closure(ArcSwap<Members>);

#[derive(Debug, Default)]
struct Members {
    unblockable: HashSet<Key>,
    boot: HashSet<Key>,
    all: Vec<Member>,
}

impl Closure {
    /// Looks the members up, below `root` where they are named by path. What cannot be read is left out and so judged like any other
    /// file.
    pub fn find(&self, identifier: &Identifier, root: &Path) {
        let mut finder = Finder { identifier, members: Members::default(), waiting: VecDeque::new() };
        for program in PROGRAMS {
            let Some(elf) = finder.add(Path::new(program), true) else { continue };
            if let Some(loader) = elf.interpreter {
                finder.add(&below(root, &loader), true);
            }
        }
        for program in BOOT_PROGRAMS {
            finder.add(&root.join(program), false);
        }
        let libraries = Libraries::below(root);
        // Breadth first: what programs need themselves comes before what only a library needs.
        while let Some((elf, needs, path)) = finder.waiting.pop_front() {
            for name in &needs.libraries {
                let found = libraries.find(name, &needs, &path, |candidate| finder.fits(candidate, &elf));
                if let Some(library) = found {
                    finder.add(&library, false);
                }
            }
        }
        self.0.store(finder.members.into());
    }

    /// What the file in this inode claims to be.
    #[must_use]
    pub fn claim(&self, identity: &Identity) -> ClosureClaim {
        let (members, key) = (self.0.load(), (identity.filesystem, identity.inode));
        if members.unblockable.contains(&key) {
            ClosureClaim::Member
        } else if members.boot.contains(&key) {
            ClosureClaim::Boot
        } else {
            ClosureClaim::Outside
        }
    }

    /// All of them, as they were found last.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.0.load().all.clone()
    }
}

/// Looks for members.
struct Finder<'a> {
    identifier: &'a Identifier,
    members: Members,
    /// ELF files whose libraries are still to be looked for, and where each lies.
    waiting: VecDeque<(Elf, Needs, PathBuf)>,
}

impl Finder<'_> {
    /// Takes a file in; gives what it is when that is an ELF file met for the first time.
    fn add(&mut self, path: &Path, is_unblockable: bool) -> Option<Elf> {
        let mut file = open(path)?;
        let key = key(self.identifier, &file)?;
        let is_known = self.members.unblockable.contains(&key) || self.members.boot.contains(&key);
        if is_known || self.members.all.len() >= MEMBERS_MAX {
            return None;
        }
        let set = if is_unblockable { &mut self.members.unblockable } else { &mut self.members.boot };
        set.insert(key);
        let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        self.members.all.push(Member { path: PathBytes::new(path.as_os_str().as_bytes()), key });
        let Ok(Some(Kind::Elf(elf))) = Kind::of_file(&mut file) else { return None };
        let needs = Needs::of_file(&mut file).unwrap_or_default();
        self.waiting.push_back((elf.clone(), needs, path));
        Some(elf)
    }

    /// Whether the loader of `of` would take this file for one of its libraries.
    fn fits(&self, candidate: &Path, of: &Elf) -> bool {
        let kind = open(candidate).and_then(|mut file| Kind::of_file(&mut file).ok().flatten());
        matches!(kind, Some(Kind::Elf(elf)) if (elf.class, elf.machine) == (of.class, of.machine))
    }
}

/// Regular files only, and without waiting for anybody.
fn open(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

fn below(root: &Path, path: &[u8]) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(path));
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn key(identifier: &Identifier, file: &File) -> Option<Key> {
    let stat = fstat(file).ok()?;
    let inode = Inode::of(identifier.filesystems().id(stat.st_dev, file).ok()?, &stat).ok()?;
    Some((inode.identity.filesystem, inode.identity.inode))
}
