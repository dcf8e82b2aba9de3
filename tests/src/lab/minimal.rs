//! The smallest root file system in which something can be done: a shell, coreutils, and a package that vouches for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::{image, package};

/// Programs copied from the machine with the libraries they need. No interpreter but the shell.
const PROGRAMS: [&str; 41] = [
    "cat", "chmod", "chown", "cp", "cut", "dash", "date", "dd", "echo", "env", "false", "find", "grep", "head", "id", "kill", "ln", "ls",
    "mkdir", "mkfifo", "mktemp", "mount", "mv", "nice", "od", "pwd", "rm", "rmdir", "sed", "seq", "setpriv", "sleep", "sort", "stat",
    "sync", "tail", "touch", "true", "truncate", "umount", "unshare",
];

/// Where programs are looked for; in this order, as a root shell does.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n";
const GROUP: &str = "root:x:0:\nann:x:1000:\nbob:x:1001:\n";

/// Builds the tree in an empty folder.
///
/// # Panics
/// When a program is missing or something cannot be written.
pub(super) fn build(tree: &Path) {
    for folder in [
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
        "var/lib/dpkg/info",
        "etc",
        "dev",
        "proc",
        "run",
        "tmp",
        "opt",
        "mnt",
        "root",
        "old",
    ] {
        fs::create_dir_all(tree.join(folder)).expect("a folder of the tree");
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), tree.join(name)).expect("a link of the tree");
    }
    for (user, home) in [(1000, "home/ann"), (1001, "home/bob")] {
        fs::create_dir_all(tree.join(home)).expect("a home folder");
        std::os::unix::fs::chown(tree.join(home), Some(user), Some(user)).expect("a home folder's owner");
    }
    fs::write(tree.join("etc/passwd"), PASSWD).expect("users");
    fs::write(tree.join("etc/group"), GROUP).expect("groups");
    devices(tree);
    symlink("dash", tree.join("usr/bin/sh")).expect("the shell's usual name");
    install(tree);
    fs::set_permissions(tree, fs::Permissions::from_mode(0o755)).expect("the root's mode");
}

/// A few device nodes in the lab's own file system: the machine's `/dev` is one of its filesystems and must not be seen.
pub(super) fn devices(tree: &Path) {
    let random = [("random", 1, 8), ("urandom", 1, 9)];
    for (name, major, minor) in [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("tty", 5, 0), ("fuse", 10, 229)].into_iter().chain(random)
    {
        let path = tree.join("dev").join(name);
        let _ = fs::remove_file(&path);
        mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor)).expect("a device node");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("a device node's mode");
    }
}

/// Copies programs and libraries and records them as one package.
fn install(tree: &Path) {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let programs = PROGRAMS.map(find);
    // Our own programs are packages of their own; their libraries are nobody's but the system's.
    let own = ["doorward-agent", "doorward-lab"].map(crate::site::path);
    for library in libraries(programs.iter().chain(&own)) {
        files.insert(below_usr(&library), fs::read(&library).expect("a library can be read"));
    }
    for program in programs {
        files.insert(below_usr(&program), fs::read(&program).expect("a program can be read"));
    }
    for (path, content) in &files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder of the tree");
        fs::write(&path, content).expect("a file of the tree");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file's mode");
    }
    let record = package::record("base", files.iter().map(|(path, content)| (path.as_str(), content.as_slice())));
    let dpkg = tree.join("var/lib/dpkg");
    fs::write(dpkg.join("status"), record.status).expect("the status file");
    fs::write(dpkg.join("info/base.list"), record.list).expect("the list");
    fs::write(dpkg.join("info/base.md5sums"), record.md5sums).expect("the sums");
}

fn find(name: &str) -> PathBuf {
    look_for(name).expect("coreutils, dash, findutils, grep, sed, mount and util-linux are on every machine the tests run on")
}

fn look_for(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// A program of the machine with all it needs, by where it belongs in a lab; `None` when it is not on the machine.
pub(super) fn program(name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let program = look_for(name)?;
    let needed = libraries(std::iter::once(&program));
    let files = needed.iter().chain([&program]);
    Some(files.map(|path| (below_usr(path), fs::read(path).expect("a file of the machine can be read"))).collect())
}

/// Loaders and libraries of programs, as the machine's own loader finds them. Before each program's, `ldd` prints its path and a
/// colon.
fn libraries<'a>(programs: impl Iterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    let printed = image::done(Command::new("ldd").args(programs));
    printed.split_whitespace().filter(|word| word.starts_with('/') && !word.ends_with(':')).map(PathBuf::from).collect()
}

/// The lab has one tree of programs, as every current distribution has.
fn below_usr(path: &Path) -> String {
    let path = path.to_str().expect("libraries have plain names").trim_start_matches('/');
    if path.starts_with("usr/") { path.to_owned() } else { format!("usr/{path}") }
}
