//! Who opens a file, and whether in order to run it: by a loader, whose own code does the opening, or by an interpreter.
//!
//! An opener is known by the inode of its executable and never by what it calls itself. What a program may choose (its arguments, its
//! threads) is asked only to find loads that would go unseen otherwise.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use doorward_formats::{ElfClass, ElfRole, Kind};
use doorward_policy::{FileKind, Interpreter, PathBytes, Sha256};
use nix::sys::stat::fstat;

mod argument;
mod bounded;
mod look;
mod script;

use super::executable;
use super::mount::Mounts;
use crate::identify::{Identifier, Inode};
use crate::judge::Judge;
use crate::system::glance::{Glance, glance, glance_at_program};

/// Executables remembered; all are forgotten when there is no more room.
const EXECUTABLES_MAX: usize = 16_384;
/// Where a host keeps its interpreters, below the root.
const FOLDERS: [&str; 5] = ["usr/bin", "usr/local/bin", "bin", "usr/sbin", "sbin"];
/// Interpreters looked for there.
const INTERPRETERS_MAX: usize = 1_024;
/// How a musl loader is named, which is the C library at once: all opens of a program come from it, whatever they are for.
const MUSL: &[u8] = b"ld-musl";

/// What opens files.
#[derive(Debug, Clone)]
pub(super) struct Opener {
    /// Its executable by content, when that is known already.
    pub(super) digest: Option<Sha256>,
    /// As which it is listed, when it runs what it reads.
    pub(super) interpreter: Option<Arc<Interpreter>>,
    /// It and all others on the list that run some of the same files.
    kin: Vec<Interpreter>,
    linkage: Linkage,
    class: ElfClass,
}

/// Whose code loads its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linkage {
    /// A loader beside it.
    Loader,
    /// It is a loader, and runs what it was told to.
    IsLoader,
    /// Likewise, and opens everything itself, whatever for.
    IsMusl,
    /// Nobody's that could be told from its other code.
    Inseparable,
}

/// Openers met so far. The lock is never held across anything but a look.
#[derive(Debug, Default)]
pub(super) struct Openers(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// See [`Judge::generation`]; the list of interpreters is part of it.
    generation: u64,
    by_executable: HashMap<Glance, Arc<Opener>>,
    /// What interpreters hold, so that a copy under another name is one too.
    interpreters: HashMap<Sha256, Arc<Interpreter>>,
}

impl Openers {
    /// Whether a process is known to run nothing that it reads; asks nobody.
    pub(super) fn is_no_interpreter(&self, pid: i32, generation: u64) -> bool {
        let Ok(executable) = glance_at_program(pid) else { return false };
        let memory = self.lock();
        memory.generation == generation && memory.by_executable.get(&executable).is_some_and(|opener| opener.interpreter.is_none())
    }

    /// Who opens, looked at when that is news; `None` for kernel threads and processes that are gone.
    pub(super) fn find(&self, pid: i32, means: &Means<'_>) -> Option<Arc<Opener>> {
        let found = executable::open_exe(pid)?;
        let key = glance(&found).ok()?;
        let generation = means.judge.generation();
        // Who was met before his executable had been read is looked at again: it has a name by now, and may be a copy of an interpreter.
        if let Some(known) = self.lock().current(generation).by_executable.get(&key).filter(|known| known.digest.is_some()) {
            return Some(Arc::clone(known));
        }
        let (opener, is_lasting) = self.classify(pid, means);
        let opener = Arc::new(opener);
        if !is_lasting {
            return Some(opener);
        }
        let mut memory = self.lock();
        let memory = memory.current(generation);
        if memory.by_executable.len() >= EXECUTABLES_MAX {
            memory.by_executable.clear();
        }
        memory.by_executable.insert(key, Arc::clone(&opener));
        Some(opener)
    }

    /// Looks the host's interpreters up by name, so that copies of them are known by content.
    pub(super) fn find_interpreters(&self, root: &std::path::Path, means: &Means<'_>) {
        let mut found = HashMap::new();
        let settings = means.judge.lists().settings();
        let entries = FOLDERS.iter().filter_map(|folder| fs::read_dir(root.join(folder)).ok()).flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let Some(interpreter) = settings.interpreters.iter().find(|interpreter| interpreter.is(name.as_bytes())) else { continue };
            let file = File::open(entry.path()).ok().filter(|file| file.metadata().is_ok_and(|file| file.is_file()));
            let known = file.and_then(|file| means.identifier.file(&file, name.as_bytes(), None, &|| false).ok().flatten());
            let is_program = |kind| matches!(kind, FileKind::ElfExecutable | FileKind::ElfLibrary);
            if let Some(known) = known.filter(|known| is_program(known.kind))
                && found.len() < INTERPRETERS_MAX
            {
                found.insert(known.digests.sha256, Arc::new(interpreter.clone()));
            }
        }
        let mut memory = self.lock();
        let memory = memory.current(means.judge.generation());
        memory.interpreters = found;
        memory.by_executable.clear();
    }

    /// What a process is, and whether that holds for its executable as long as it has the same change time.
    fn classify(&self, pid: i32, means: &Means<'_>) -> (Opener, bool) {
        let name = executable_name(pid);
        let file = executable::find(pid, means.mounts).and_then(|found| executable::open_for_reading(&found));
        // SECURITY: where somebody else writes change times, another program may have the same a moment later.
        let filesystem = |file: &File| means.identifier.filesystems().of(fstat(file).ok()?.st_dev, file).ok();
        let is_lasting = file.as_ref().and_then(filesystem).is_some_and(|filesystem| filesystem.is_remembered);
        let digest = file.as_ref().and_then(|file| digest(file, means.identifier));
        let settings = means.judge.lists().settings();
        let named = settings.interpreters.iter().find(|interpreter| interpreter.is(&name)).cloned().map(Arc::new);
        let mut memory = self.lock();
        let memory = memory.current(means.judge.generation());
        if let (Some(digest), Some(interpreter)) = (digest, &named)
            && memory.interpreters.len() < INTERPRETERS_MAX
        {
            memory.interpreters.insert(digest, Arc::clone(interpreter));
        }
        let interpreter = named.or_else(|| memory.interpreters.get(&digest?).cloned());
        let (linkage, class) = file.map_or((Linkage::Loader, ElfClass::Bits64), |file| linkage(file, &name));
        let is_kin = |other: &&Interpreter| interpreter.as_ref().is_some_and(|interpreter| interpreter.is_kin_of(other));
        let kin = settings.interpreters.iter().filter(is_kin).cloned().collect();
        (Opener { digest, interpreter, kin, linkage, class }, is_lasting)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Forgets what was concluded from another list of interpreters.
    fn current(&mut self, generation: u64) -> &mut Self {
        if self.generation != generation {
            self.generation = generation;
            self.by_executable.clear();
        }
        self
    }
}

/// What looking closer needs.
pub(super) struct Means<'a> {
    pub(super) judge: &'a Judge,
    pub(super) identifier: &'a Identifier,
    pub(super) mounts: &'a Mounts,
}

impl Opener {
    /// Whether a process opens this file in order to run it, as far as can be told while it waits for the answer.
    pub(super) fn is_to_run(&self, pid: i32, file: &File, name: &[u8], kind: Option<FileKind>) -> bool {
        if matches!(kind, Some(FileKind::ElfExecutable | FileKind::ElfLibrary)) {
            return self.is_by_loader(pid);
        }
        self.is_for_interpreter(pid, file, name, kind) && look::openings(pid).any_for_reading()
    }

    /// As [`Self::is_to_run`], of a process that did not wait.
    pub(super) fn has_run(&self, pid: i32, file: &File, name: &[u8], kind: Option<FileKind>) -> bool {
        if matches!(kind, Some(FileKind::ElfExecutable | FileKind::ElfLibrary)) {
            return fstat(file).is_ok_and(|stat| look::maps_to_execute(pid, &stat));
        }
        self.is_for_interpreter(pid, file, name, kind)
    }

    fn is_for_interpreter(&self, pid: i32, file: &File, name: &[u8], kind: Option<FileKind>) -> bool {
        let Some(interpreter) = &self.interpreter else { return false };
        let is_its_kind = match kind {
            Some(FileKind::Script) => script::program_of(file).is_some_and(|name| self.kin.iter().any(|kin| kin.is(&name))),
            Some(FileKind::PythonBytecode) => interpreter.loads(b".pyc"),
            Some(FileKind::Jar) => interpreter.loads(b".jar"),
            _ => false,
        };
        is_its_kind || interpreter.loads(name) || argument::may_name(pid, file, interpreter)
    }

    /// Whether a loader's own code is opening something. The loader opens libraries and programs and nothing else that is an ELF file;
    /// whatever a program does with such files as data, the C library opens for it.
    fn is_by_loader(&self, pid: i32) -> bool {
        let loader = match self.linkage {
            Linkage::Inseparable => return false,
            Linkage::IsMusl => return look::openings(pid).any_for_reading(),
            Linkage::Loader => look::loader_beside(pid, self.class),
            Linkage::IsLoader => look::loader_itself(pid, self.class),
        };
        loader.is_some_and(|loader| look::openings(pid).any_from(&loader))
    }
}

/// The last component of what the kernel calls a process's executable.
fn executable_name(pid: i32) -> Vec<u8> {
    let link = fs::read_link(format!("/proc/{pid}/exe")).map(|path| path.into_os_string().into_vec()).unwrap_or_default();
    let path = link.strip_suffix(b" (deleted)").unwrap_or(&link);
    PathBytes::new(path).file_name().to_vec()
}

/// What the executable holds when that is known; it is never read for this.
fn digest(file: &File, identifier: &Identifier) -> Option<Sha256> {
    let stat = fstat(file).ok()?;
    let inode = Inode::of(identifier.filesystems().id(stat.st_dev, file).ok()?, &stat).ok()?;
    Some(identifier.store().candidate(&inode, None)?.digests.sha256)
}

fn linkage(mut file: File, name: &[u8]) -> (Linkage, ElfClass) {
    let Ok(Some(Kind::Elf(elf))) = Kind::of_file(&mut file) else { return (Linkage::Loader, ElfClass::Bits64) };
    let linkage = match &elf.interpreter {
        Some(loader) if PathBytes::new(loader.clone()).file_name().starts_with(MUSL) => Linkage::Inseparable,
        Some(_) => Linkage::Loader,
        // A program without a loader is static; a library without one that runs all the same is a loader.
        None if elf.role == ElfRole::Executable => Linkage::Inseparable,
        None if name.starts_with(MUSL) => Linkage::IsMusl,
        None => Linkage::IsLoader,
    };
    (linkage, elf.class)
}

#[cfg(test)]
mod tests;
