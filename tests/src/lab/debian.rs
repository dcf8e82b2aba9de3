//! A real Debian, so that real apt and dpkg can run in the lab: bootstrapped once and kept as an image in the user's cache folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{image, minimal};

/// The release; part of the image's name, so another one is another image.
const SUITE: &str = "bookworm";
/// Where packages come from. Signed by the distribution's key, whatever lies between.
const MIRROR: &str = "http://deb.debian.org/debian";

/// The image everybody copies from, made now if nobody has yet.
///
/// # Errors
/// When it is not there and cannot be made, with the reason.
///
/// # Panics
/// When the cache folder cannot be written.
pub(super) fn cached() -> Result<PathBuf, String> {
    let folder = cache();
    fs::create_dir_all(&folder).expect("the cache folder");
    // One of many test processes makes it, the others wait.
    let lock = File::create(folder.join(format!("debian-{SUITE}.lock"))).expect("a lock file");
    lock.lock().expect("the lock");
    let finished = folder.join(format!("debian-{SUITE}.ext4"));
    if !finished.is_file() {
        let work = tempfile::tempdir_in(&folder).expect("a folder in the cache");
        bootstrap(&work.path().join("tree"))?;
        let unfinished = work.path().join("image");
        image::make(&unfinished, &work.path().join("tree"));
        fs::rename(unfinished, &finished).expect("the image's name");
    }
    Ok(finished)
}

fn bootstrap(tree: &Path) -> Result<(), String> {
    eprintln!("bootstrapping Debian {SUITE} once, into the cache; this takes minutes");
    let output = Command::new("debootstrap").args(["--variant=minbase", SUITE]).arg(tree).arg(MIRROR).output();
    let output = output.map_err(|error| format!("debootstrap cannot be started: {error}; install the package debootstrap"))?;
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stdout);
        return Err(format!("debootstrap failed: {}", printed.lines().last().unwrap_or_default()));
    }
    let lost = |what: &str, error: std::io::Error| format!("{what}: {error}");
    fs::remove_dir_all(tree.join("dev")).map_err(|error| lost("dev", error))?;
    for folder in ["dev", "old", "mnt", "opt"] {
        fs::create_dir_all(tree.join(folder)).map_err(|error| lost(folder, error))?;
    }
    minimal::devices(tree);
    // There is no init to start services, and no terminal to ask.
    fs::write(tree.join("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n").map_err(|error| lost("policy-rc.d", error))?;
    fs::write(tree.join("etc/apt/apt.conf.d/lab"), "APT::Install-Recommends \"false\";\n").map_err(|error| lost("apt.conf", error))
}

/// `${XDG_CACHE_HOME:-~/.cache}/doorward`
fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("doorward")
}
