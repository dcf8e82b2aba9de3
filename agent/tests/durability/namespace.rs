//! A mount namespace of a story's own: its mounts are seen by nobody else and are gone when it ends, however it ends.

use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "DOORWARD_TEST_INSIDE";

/// True inside. Outside it plays the story of this name again in a namespace of its own and gives its outcome; without root it says
/// that the story was skipped.
pub(crate) fn entered(story: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let possible = Command::new("unshare").args(["--mount", "--propagation", "private", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {story}, because it needs root and unshare to mount a file system for itself");
        return false;
    }
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", story, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{story} failed in its namespace");
    false
}

/// An ext4 file system in a file.
pub(crate) struct Image {
    pub(crate) file: PathBuf,
}

impl Image {
    pub(crate) fn make(file: &Path, mebibytes: u64) -> Self {
        std::fs::File::create(file).unwrap().set_len(mebibytes << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(file));
        Self { file: file.to_owned() }
    }

    pub(crate) fn mount(&self, at: &Path) -> Mounted {
        std::fs::create_dir_all(at).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.file).arg(at));
        Mounted { at: at.to_owned() }
    }

    /// What the disk holds at this moment, as it would after a power cut.
    pub(crate) fn copy(&self, to: &Path) -> Self {
        run(Command::new("cp").arg("--sparse=always").arg(&self.file).arg(to));
        Self { file: to.to_owned() }
    }
}

/// A mounted image; unmounted when it is dropped.
pub(crate) struct Mounted {
    pub(crate) at: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.at));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
