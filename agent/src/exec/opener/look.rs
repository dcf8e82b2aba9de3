//! What the threads of a process are doing in the kernel: which of them are opening something, from which code, and for what.
//!
//! Whoever waits for an answer stands still in the very system call that opens, so this is asked before the answer. `/proc/PID/maps` is
//! not asked then: whoever maps a file of a FUSE server that never answers can hold the lock it needs for ever.

use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use doorward_formats::ElfClass;
use nix::sys::stat::{FileStat, major, minor};

/// Threads looked at; of a process with more it is not known who opens.
const THREADS_MAX: usize = 1_024;
/// Looks at a thread that is just about to fall asleep in the kernel.
const LOOKS_MAX: u32 = 20;
/// Pause between them.
const PAUSE: Duration = Duration::from_micros(50);
/// Bytes read of `/proc/PID/task/TID/syscall`, nine numbers, and of `auxv`, some twenty pairs of them.
const FILE_BYTES_MAX: u64 = 4_096;
/// How far a loader's code reaches from its beginning. The largest in use (x86-64, AArch64) take less than 240 KiB; of a library right
/// behind it, the first 64 KiB are no code.
const LOADER_BYTES: u64 = 0x4_8000;
/// Bytes read of `/proc/PID/maps`.
const MAPS_BYTES_MAX: u64 = 4 << 20;

/// Numbers of `auxv`, from `<linux/auxvec.h>`.
const AT_PHDR: u64 = 3;
const AT_BASE: u64 = 7;

/// System calls that open files by name, and where their flags stand.
#[derive(Debug, Clone, Copy)]
struct Calls {
    /// Flags in the second argument.
    open: Option<u64>,
    /// Only ever for writing.
    creat: Option<u64>,
    /// Flags in the third argument.
    openat: u64,
    /// Flags in memory.
    openat2: u64,
    /// Flags in the third argument.
    by_handle: u64,
    /// Opens for others, or what is asked for by others.
    io_uring_enter: u64,
}

#[cfg(target_arch = "x86_64")]
const NATIVE: Calls = Calls { open: Some(2), creat: Some(85), openat: 257, openat2: 437, by_handle: 304, io_uring_enter: 426 };
#[cfg(target_arch = "x86_64")]
const COMPATIBLE: Calls = Calls { open: Some(5), creat: Some(8), openat: 295, openat2: 437, by_handle: 342, io_uring_enter: 426 };
#[cfg(not(target_arch = "x86_64"))]
const NATIVE: Calls = Calls { open: None, creat: None, openat: 56, openat2: 437, by_handle: 265, io_uring_enter: 426 };
#[cfg(not(target_arch = "x86_64"))]
const COMPATIBLE: Calls = Calls { open: Some(5), creat: Some(8), openat: 322, openat2: 437, by_handle: 371, io_uring_enter: 426 };

/// One thread that opens something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opening {
    /// Where its code goes on.
    instruction: u64,
    /// Opened for reading alone, as far as the kernel tells.
    is_for_reading: bool,
}

/// What the threads of one process are opening now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Openings {
    openings: Vec<Opening>,
    /// A thread could not be looked at, or opens what others asked for.
    has_unknown: bool,
}

impl Openings {
    /// Whether any may be for reading alone. Whoever runs a file never asks to write it too.
    pub(super) fn any_for_reading(&self) -> bool {
        self.has_unknown || self.openings.iter().any(|opening| opening.is_for_reading)
    }

    /// Whether any comes from this code.
    pub(super) fn any_from(&self, code: &Range<u64>) -> bool {
        self.openings.iter().any(|opening| opening.is_for_reading && code.contains(&opening.instruction))
    }

    fn add(&mut self, told: Told) {
        match told {
            Told::Opening(opening) => self.openings.push(opening),
            Told::Unknown => self.has_unknown = true,
            Told::Other => {}
        }
    }
}

/// What one thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Opening(Opening),
    Unknown,
    Other,
}

/// What a process is opening now; an execution is none of it.
pub(super) fn openings(pid: i32) -> Openings {
    let mut found = Openings::default();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return found };
    for (count, task) in tasks.flatten().enumerate() {
        if count >= THREADS_MAX {
            found.has_unknown = true;
            break;
        }
        found.add(look(&task.path().join("syscall")));
    }
    found
}

fn look(path: &std::path::Path) -> Told {
    for _ in 0..LOOKS_MAX {
        match read(path, FILE_BYTES_MAX).as_deref().map(str::from_utf8) {
            Some(Ok(text)) if text.starts_with("running") => thread::sleep(PAUSE),
            Some(Ok(text)) => return told(text).unwrap_or(Told::Other),
            _ => return Told::Other,
        }
    }
    // It does something, so it waits for nobody.
    Told::Other
}

/// `257 0xffffff9c 0x7ffe... 0x0 0x0 0x... 0x... STACK INSTRUCTION`
fn told(line: &str) -> Option<Told> {
    let mut fields = line.split_ascii_whitespace();
    let number: u64 = fields.next()?.parse().ok()?;
    let numbers: Vec<u64> = fields.map(|field| u64::from_str_radix(field.trim_start_matches("0x"), 16)).collect::<Result<_, _>>().ok()?;
    let [arguments @ .., stack, instruction] = numbers.as_slice() else { return None };
    let is_narrow = [stack, instruction].into_iter().all(|address| u32::try_from(*address).is_ok());
    let calls = if is_narrow { COMPATIBLE } else { NATIVE };
    let flags = if Some(number) == calls.open {
        *arguments.get(1)?
    } else if number == calls.openat || number == calls.by_handle {
        *arguments.get(2)?
    } else if number == calls.openat2 {
        libc::O_RDONLY.unsigned_abs().into()
    } else if Some(number) == calls.creat {
        libc::O_WRONLY.unsigned_abs().into()
    } else {
        return Some(if number == calls.io_uring_enter { Told::Unknown } else { Told::Other });
    };
    let is_for_reading = flags & u64::from(libc::O_ACCMODE.unsigned_abs()) == u64::from(libc::O_RDONLY.unsigned_abs());
    Some(Told::Opening(Opening { instruction: *instruction, is_for_reading }))
}

/// Where the code of the loader lies that the kernel started beside a program.
pub(super) fn loader_beside(pid: i32, class: ElfClass) -> Option<Range<u64>> {
    let base = auxiliary(pid, class, AT_BASE).filter(|base| *base != 0)?;
    Some(base..base.saturating_add(LOADER_BYTES))
}

/// Where the code lies of a loader that was itself started.
pub(super) fn loader_itself(pid: i32, class: ElfClass) -> Option<Range<u64>> {
    const PAGE_BYTES: u64 = 4_096;
    let base = auxiliary(pid, class, AT_PHDR)? & !(PAGE_BYTES - 1);
    Some(base..base.saturating_add(LOADER_BYTES))
}

/// What the kernel told a program at its start; kept by the kernel, not read from the program's memory.
fn auxiliary(pid: i32, class: ElfClass, wanted: u64) -> Option<u64> {
    let bytes = read(format!("/proc/{pid}/auxv").as_ref(), FILE_BYTES_MAX)?;
    let numbers: Vec<u64> = match class {
        ElfClass::Bits64 => bytes.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect(),
        ElfClass::Bits32 => bytes.as_chunks().0.iter().map(|bytes| u64::from(u32::from_ne_bytes(*bytes))).collect(),
    };
    numbers.as_chunks().0.iter().find(|[key, _]| *key == wanted).map(|[_, value]| *value)
}

/// Whether a process has mapped this file so that it can be executed. Only of those nobody waits for.
pub(super) fn maps_to_execute(pid: i32, file: &FileStat) -> bool {
    let path = format!("/proc/{pid}/maps");
    let maps = super::bounded::read_within(path, MAPS_BYTES_MAX).unwrap_or_default();
    let place = format!("{:02x}:{:02x} {} ", major(file.st_dev), minor(file.st_dev), file.st_ino);
    // `7f..-7f.. r-xp 00026000 fe:00 1234      /path`
    maps.split(|byte| *byte == b'\n').any(|line| {
        let Ok(line) = str::from_utf8(&line[..line.len().min(100)]).or_else(|error| str::from_utf8(&line[..error.valid_up_to()])) else {
            return false;
        };
        line.split(' ').nth(1).is_some_and(|rights| rights.contains('x')) && line.contains(&place)
    })
}

fn read(path: &std::path::Path, bytes_max: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_thread_that_opens_is_told_with_its_code_and_what_for() {
        let reading = |line: &str| matches!(told(line), Some(Told::Opening(opening)) if opening.is_for_reading);
        let writing = |line: &str| matches!(told(line), Some(Told::Opening(opening)) if !opening.is_for_reading);
        let at = "0x7ffd00000000 0x7f0000000011";
        assert!(reading(&format!("257 0xffffff9c 0x7ffe1 0x80000 0x0 0x0 0x0 {at}")));
        assert!(writing(&format!("257 0xffffff9c 0x7ffe1 0x241 0x1b6 0x0 0x0 {at}")), "to write");
        assert!(writing(&format!("257 0xffffff9c 0x7ffe1 0x2 0x1b6 0x0 0x0 {at}")), "to read and write");
        assert!(reading(&format!("2 0x7ffe1 0x0 0x0 0x0 0x0 0x0 {at}")) && writing(&format!("85 0x7ffe1 0x0 0x0 0x0 0x0 0x0 {at}")));
        // The same numbers mean other calls to a 32-bit program.
        assert!(reading("295 0xffffff9c 0xffe1 0x80000 0x0 0x0 0x0 0xffd00000 0xf7000011"));
        assert_eq!(told(&format!("295 0x3 0x7ffe1 0x0 0x0 0x0 0x0 {at}")), Some(Told::Other));
        assert_eq!(told(&format!("59 0x7ffe1 0x0 0x0 0x0 0x0 0x0 {at}")), Some(Told::Other), "an execution");
        assert_eq!(told(&format!("426 0x3 0x1 0x1 0x1 0x0 0x8 {at}")), Some(Told::Unknown));
        for nonsense in ["", "running", "-1 0x7f 0x7f", "257", "257 x y"] {
            assert!(!matches!(told(nonsense), Some(Told::Opening(_) | Told::Unknown)), "{nonsense}");
        }
    }

    #[test]
    fn opening_is_from_a_loader_only_when_its_code_does_it() {
        let opening = |instruction| Opening { instruction, is_for_reading: true };
        let openings = Openings { openings: vec![opening(0x1000)], has_unknown: false };
        assert!(openings.any_from(&(0x1000..0x2000)) && !openings.any_from(&(0..0x1000)));
        assert!(
            !Openings { openings: vec![Opening { is_for_reading: false, ..opening(0x1000) }], has_unknown: true }.any_from(&(0..u64::MAX))
        );
    }

    #[test]
    fn a_test_program_has_a_loader_beside_it_and_maps_itself() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let loader = loader_beside(pid, ElfClass::Bits64).unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.starts_with(&format!("{:x}-", loader.start))).unwrap();
        assert!(line.contains("/ld-"), "{line}");
        assert!(openings(pid).openings.is_empty());
        let itself = nix::sys::stat::stat("/proc/self/exe").unwrap();
        assert!(maps_to_execute(pid, &itself));
        assert!(!maps_to_execute(pid, &nix::sys::stat::stat("/etc/passwd").unwrap()));
    }
}
