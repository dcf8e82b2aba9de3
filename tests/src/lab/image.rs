//! An ext4 file system in a sparse file, and the loop device it is on.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::site::eventually_within;

/// Size of a lab's file system. The file is sparse: only what is written takes room.
pub(super) const IMAGE_BYTES: u64 = 2 << 30;
/// Longest a loop device may stay after its last mount is gone.
const DETACH_DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// Makes a file system with everything in a folder, owners, modes and device nodes included.
///
/// # Panics
/// When `mkfs.ext4` fails.
pub(super) fn make(image: &Path, tree: &Path) {
    File::create_new(image).and_then(|file| file.set_len(IMAGE_BYTES)).expect("a sparse file");
    let options = ["-q", "-F", "-E", "root_owner=0:0", "-d"].map(OsStr::new);
    done(Command::new("mkfs.ext4").args(options).arg(tree).arg(image));
}

/// Copies an image, holes included.
///
/// # Panics
/// When `cp` fails.
pub(super) fn copy(from: &Path, to: &Path) {
    done(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to));
}

/// An image on a loop device. The kernel frees the device with its last mount; dropping this waits for that.
#[derive(Debug)]
pub(super) struct Loop {
    image: PathBuf,
    device: String,
}

impl Loop {
    /// # Panics
    /// When there is no loop device to be had.
    pub(super) fn attach(image: &Path) -> Self {
        let device = done(Command::new("losetup").args(["--find", "--show"]).arg(image));
        Self { image: image.to_owned(), device: device.trim().to_owned() }
    }

    /// As in `/dev/loop3`.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// From now on the device goes with its last mount, however this process ends.
    pub(super) fn detach_with_last_mount(&self) {
        done(Command::new("losetup").args(["--detach", &self.device]));
    }

    fn is_attached(&self) -> bool {
        let name = self.device.trim_start_matches("/dev/");
        let backing = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).unwrap_or_default();
        Path::new(backing.trim_end()) == self.image
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A second panic would hide the first one.
            let deadline = std::time::Instant::now() + DETACH_DEADLINE;
            while self.is_attached() && std::time::Instant::now() < deadline {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            if self.is_attached() {
                eprintln!("{} is still attached to {}", self.device, self.image.display());
            }
            return;
        }
        eventually_within(DETACH_DEADLINE, &format!("{} is free again", self.device), || (!self.is_attached()).then_some(()));
    }
}

/// Runs a program of the machine to its end and returns what it printed.
///
/// # Panics
/// When it fails.
pub(super) fn done(command: &mut Command) -> String {
    let output = command.output().expect("a program of the machine starts");
    assert!(output.status.success(), "{command:?}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
