//! A lab: its file system, its namespace, and the ways in.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;

use super::alteration::Alteration;
use super::attack::{Tally, Way};
use super::control_group::ControlGroup;
use super::entrance::INSIDE;
use super::image::{self, Loop};
use super::namespace::{self, Namespace};
use super::passage::Passage;
use super::process::{COMMAND_LIMIT, Ended, Process};
use super::{debian, minimal, package};
use crate::site::path;

/// Programs of the machine that building a lab takes.
const NEEDS: [&str; 6] = ["mkfs.ext4", "losetup", "cp", "ldd", "strip", "dash"];
/// Longest a change of one file from outside takes; the largest is the agent itself.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// Longest an attack of many rounds takes.
const ATTACK_LIMIT: Duration = Duration::from_secs(600);

/// A root file system and mount namespace apart from the machine's. Dropping it ends all processes in it and leaves nothing behind.
#[derive(Debug)]
pub struct Lab {
    // In the order in which they must go.
    control_group: ControlGroup,
    namespace: Namespace,
    _disk: Loop,
    folder: TempDir,
}

impl Lab {
    /// Whether labs can be made here.
    ///
    /// # Errors
    /// Why not, for the line that says that a test is skipped.
    pub fn available() -> Result<(), String> {
        if !geteuid().is_root() {
            return Err("a lab needs root".into());
        }
        if !Path::new("/dev/loop-control").exists() {
            return Err("there are no loop devices".into());
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let has = |name: &&str| std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
        if let Some(missing) = NEEDS.iter().find(|name| !has(name)) {
            return Err(format!("{missing} is not installed"));
        }
        let apart = std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNS)).join().expect("unshare does not panic");
        apart.map_err(|error| format!("mount namespaces cannot be made: {error}"))
    }

    /// A lab with a shell and coreutils, all of them of one package.
    ///
    /// # Errors
    /// As [`Lab::available`].
    ///
    /// # Panics
    /// When it cannot be built although it should.
    pub fn minimal() -> Result<Self, String> {
        Self::available()?;
        Ok(Self::built(ControlGroup::new()?, |work, image| {
            let tree = work.join("tree");
            fs::create_dir(&tree).expect("a folder for the tree");
            minimal::build(&tree);
            image::make(image, &tree);
        }))
    }

    /// A lab with a small Debian, apt included.
    ///
    /// # Errors
    /// As [`Lab::available`], or when Debian cannot be had.
    ///
    /// # Panics
    /// When it cannot be built although it should.
    pub fn debian() -> Result<Self, String> {
        Self::available()?;
        let cached = debian::cached()?;
        let lab = Self::built(ControlGroup::new()?, |_, image| image::copy(&cached, image));
        lab.write("/etc/resolv.conf", &fs::read("/etc/resolv.conf").unwrap_or_default(), "644");
        Ok(lab)
    }

    fn built(control_group: ControlGroup, make: impl FnOnce(&Path, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let image = folder.path().join("image");
        let work = tempfile::tempdir().expect("a temporary folder");
        make(work.path(), &image);
        let disk = Loop::attach(&image);
        let point = folder.path().join("point");
        fs::create_dir(&point).expect("a folder to mount at");
        let namespace = Namespace::open(disk.device(), &point);
        disk.detach_with_last_mount();
        let lab = Self { control_group, namespace: namespace.expect("the lab opens"), _disk: disk, folder };
        lab.place_canaries();
        let entrance = stripped(&path("doorward-lab"), lab.folder.path());
        lab.install("doorward-lab", &[(INSIDE.trim_start_matches('/'), &entrance)]);
        lab
    }

    /// A folder of the machine that goes with the lab.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The group of everything that runs in here, as in `/proc/PID/cgroup`.
    pub(super) fn control_group(&self) -> &str {
        self.control_group.path()
    }

    /// `doorward-lab`, about to go into this lab.
    pub(super) fn entering(&self, user: Option<u32>) -> Command {
        let mut command = Command::new(path("doorward-lab"));
        command.arg("--namespace").arg(self.namespace.path()).arg("--control-group").arg(self.control_group.entrance());
        if let Some(user) = user {
            command.args(["--user", &user.to_string()]);
        }
        command
    }

    /// Starts an errand of `doorward-lab` other than a program.
    pub(super) fn errand<S: AsRef<OsStr>>(&self, user: Option<u32>, arguments: &[S], input: &[u8]) -> Process {
        let mut command = self.entering(user);
        command.args(arguments);
        Process::spawn(command, input)
    }

    /// Starts a program as root.
    ///
    /// # Panics
    /// When `doorward-lab` cannot be started; what the lab's kernel says to the program is in how it ends.
    #[must_use]
    pub fn spawn<S: AsRef<OsStr>>(&self, command: &[S]) -> Process {
        self.program(None, command)
    }

    /// Starts a program as another user.
    ///
    /// # Panics
    /// As [`Lab::spawn`].
    #[must_use]
    pub fn spawn_as<S: AsRef<OsStr>>(&self, user: u32, command: &[S]) -> Process {
        self.program(Some(user), command)
    }

    fn program<S: AsRef<OsStr>>(&self, user: Option<u32>, command: &[S]) -> Process {
        let mut arguments = vec![OsStr::new("exec"), OsStr::new("--")];
        arguments.extend(command.iter().map(AsRef::as_ref));
        self.errand(user, &arguments, b"")
    }

    /// Starts a program as a user in a way a shell has not; `folder` is where this user may write, for the ways that copy it.
    ///
    /// # Panics
    /// As [`Lab::spawn`].
    #[must_use]
    pub fn spawn_through(&self, user: u32, passage: Passage, folder: &str, command: &[&str]) -> Process {
        let mut errand = vec!["through", passage.word(), folder, "--"];
        errand.extend(command);
        self.errand(Some(user), &errand, b"")
    }

    /// How many processes of the lab, in whatever namespace, run what they know by this path.
    #[must_use]
    pub fn processes_of(&self, path: &str) -> usize {
        let runs = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(path));
        self.control_group.processes().iter().filter(|pid| runs(pid)).count()
    }

    /// Runs a program as root to its end.
    ///
    /// # Panics
    /// When it does not end within [`COMMAND_LIMIT`].
    #[must_use]
    pub fn run<S: AsRef<OsStr>>(&self, command: &[S]) -> Ended {
        self.spawn(command).ended_within(COMMAND_LIMIT)
    }

    /// Runs a program of which nothing is of interest but that it ends well.
    ///
    /// # Panics
    /// When it does not.
    pub fn must<S: AsRef<OsStr>>(&self, command: &[S]) {
        let ended = self.run(command);
        assert!(ended.success(), "{ended:?}");
    }

    /// Writes a file, with the folders it is in; `mode` is octal, as for `chmod`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: &[u8], mode: &str) {
        self.do_errand(&["write", path, mode], content);
    }

    /// Writes a program, mode 755.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn add_program(&self, path: &str, content: &[u8]) {
        self.write(path, content, "755");
    }

    /// Writes a program with a hole behind it, so that it has this length.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn add_padded_program(&self, path: &str, content: &[u8], length: u64) {
        self.do_errand(&["write", "--length", &length.to_string(), path, "755"], content);
    }

    /// Writes many programs `FOLDER/0`, `FOLDER/1` and so on, each with its number behind the content.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn add_programs(&self, folder: &str, content: &[u8], count: u32) {
        self.do_errand(&["fill", folder, &count.to_string()], content);
    }

    /// Alters a file as root.
    ///
    /// # Panics
    /// When it cannot be altered.
    pub fn alter(&self, alteration: Alteration, path: &str, content: &[u8]) {
        self.do_errand(&["alter", alteration.word(), path], content);
    }

    /// Removes a file.
    ///
    /// # Panics
    /// When it cannot be removed.
    pub fn remove(&self, path: &str) {
        self.do_errand(&["remove", path], b"");
    }

    /// Installs a package as dpkg would record it. Paths do not start with a slash.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn install(&self, name: &str, files: &[(&str, &[u8])]) {
        for (path, content) in files {
            self.add_program(&format!("/{path}"), content);
        }
        self.record(name, &package::record(name, files.iter().copied()));
    }

    /// Installs a program of the machine with its libraries, as a package of this name.
    ///
    /// # Errors
    /// That the machine has no such program.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn install_from_machine(&self, package: &str, program: &str) -> Result<(), String> {
        let files = minimal::program(program).ok_or_else(|| format!("{program} is not installed"))?;
        let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        self.install(package, &files);
        Ok(())
    }

    pub(super) fn record(&self, name: &str, record: &package::Record) {
        self.write(&format!("/var/lib/dpkg/info/{name}.list"), record.list.as_bytes(), "644");
        self.write(&format!("/var/lib/dpkg/info/{name}.md5sums"), record.md5sums.as_bytes(), "644");
        self.do_errand(&["write", "--append", "/var/lib/dpkg/status", "644"], record.status.as_bytes());
    }

    /// Mounts an empty tmpfs.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount_tmpfs(&self, point: &str) {
        self.do_errand(&["mount", "tmpfs", "mode=755,size=64m", point], b"");
        self.place_canary(point);
    }

    /// The mount table as processes in the lab see it, see `proc_pid_mountinfo(5)`.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn mountinfo(&self) -> String {
        let ended = self.errand(None, &["mountinfo"], b"").ended();
        assert!(ended.success(), "{ended:?}");
        ended.stdout
    }

    /// That no filesystem of the machine can be seen from inside.
    ///
    /// # Panics
    /// When one can: no agent may be started then.
    pub fn assert_apart(&self) {
        let foreign = namespace::foreign().expect("the machine's mount table");
        namespace::check(&self.mountinfo(), &foreign).expect("the lab is apart from the machine");
    }

    /// Rounds of an attack as a user: `good` and `bad` are programs in the lab that this user can read, `victim` is where it may write.
    ///
    /// # Panics
    /// When it does not come to its end.
    #[must_use]
    pub fn attack(&self, user: u32, way: Way, programs: [&str; 3], rounds: u32) -> Tally {
        self.do_attack(user, way, programs, rounds, &[])
    }

    /// As [`Lab::attack`] on files of this length, which take as long to judge as the moments of the change are spread over.
    ///
    /// # Panics
    /// As [`Lab::attack`].
    #[must_use]
    pub fn attack_padded(&self, user: u32, way: Way, programs: [&str; 3], rounds: u32, length: u64, spread: Duration) -> Tally {
        let (length, spread_ms) = (length.to_string(), spread.as_millis().to_string());
        self.do_attack(user, way, programs, rounds, &["--length", &length, "--spread-ms", &spread_ms])
    }

    fn do_attack(&self, user: u32, way: Way, [good, bad, victim]: [&str; 3], rounds: u32, options: &[&str]) -> Tally {
        let rounds = rounds.to_string();
        let mut arguments = vec!["attack"];
        arguments.extend(options);
        arguments.extend([way.word(), good, bad, victim, &rounds]);
        let ended = self.errand(Some(user), &arguments, b"").ended_within(ATTACK_LIMIT);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| nonsense(&ended, &error))
    }

    pub(super) fn do_errand(&self, arguments: &[&str], input: &[u8]) {
        let ended = self.errand(None, arguments, input).ended_within(WRITE_LIMIT);
        assert!(ended.success(), "doorward-lab {}: {}", arguments.join(" "), ended.stderr);
    }
}

/// A program without what only debuggers read, which is most of it.
fn stripped(program: &Path, folder: &Path) -> Vec<u8> {
    let small = folder.join("stripped");
    image::done(Command::new("strip").arg("-o").args([&small, program]));
    fs::read(&small).expect("what was written a moment ago")
}

#[expect(clippy::panic, reason = "a test says what went wrong by panicking")]
pub(super) fn nonsense<T>(ended: &Ended, error: &serde_json::Error) -> T {
    panic!("doorward-lab printed no answer ({error}): {ended:?}")
}
