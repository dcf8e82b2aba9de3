//! What benches do in a lab: repeat small things, install many programs, hold executions with the least there is.

use std::time::Duration;

use super::process::Process;
use super::repeat::{Repetition, Task};
use super::root::{Lab, nonsense};
use super::{floor, package};
use crate::site::eventually;

/// Longest a repetition takes; a build on a busy machine is the longest.
const REPETITION_LIMIT: Duration = Duration::from_secs(600);
/// Longest apt takes, downloads included.
pub(super) const APT_LIMIT: Duration = Duration::from_secs(600);

impl Lab {
    /// Does something with every file in turn, so many rounds, as a user, in a process of the lab's control group.
    ///
    /// # Panics
    /// When it cannot be done.
    #[must_use]
    pub fn repeat<S: AsRef<str>>(&self, user: u32, task: Task, rounds: u32, paths: &[S]) -> Repetition {
        let rounds = rounds.to_string();
        let mut arguments = vec!["repeat", task.word(), &rounds];
        arguments.extend(paths.iter().map(AsRef::as_ref));
        let ended = self.errand(Some(user), &arguments, b"").ended_within(REPETITION_LIMIT);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| nonsense(&ended, &error))
    }

    /// Installs programs `FOLDER/0`, `FOLDER/1` and so on, all of one package, each with its number behind the content. Returns their
    /// paths. The folder does not start with a slash.
    ///
    /// # Panics
    /// When they cannot be written.
    #[must_use]
    pub fn install_programs(&self, name: &str, folder: &str, content: &[u8], count: u32) -> Vec<String> {
        self.add_programs(&format!("/{folder}"), content, count);
        let file = |number: u32| (format!("{folder}/{number}"), [content, format!("\0{number}").as_bytes()].concat());
        let files: Vec<_> = (0..count).map(file).collect();
        self.record(name, &package::record(name, files.iter().map(|(path, content)| (path.as_str(), content.as_slice()))));
        files.into_iter().map(|(path, _)| format!("/{path}")).collect()
    }

    /// Installs packages of the distribution.
    ///
    /// # Errors
    /// What apt said when it cannot.
    pub fn apt_install(&self, packages: &[&str]) -> Result<(), String> {
        let install = [&["apt-get", "-qq", "-y", "install"], packages].concat();
        for command in [vec!["apt-get", "-qq", "update"], install] {
            let ended = self.spawn(&command).within(APT_LIMIT).ok_or_else(|| format!("{} did not end", command.join(" ")))?;
            if !ended.success() {
                return Err(format!("{}: {} {}", command.join(" "), ended.stdout.trim(), ended.stderr.trim()));
            }
        }
        Ok(())
    }

    /// Holds executions on the lab's disk, and `opens` too, with the least that can hold any, until what is returned is dropped.
    ///
    /// # Panics
    /// When a filesystem of the machine can be seen from inside, or it does not come up.
    #[must_use]
    pub fn floor(&self, opens: bool) -> Process {
        self.assert_apart();
        let listener = self.errand(None, if opens { &["floor", "--opens"][..] } else { &["floor"] }, b"");
        eventually("the floor holds executions", || listener.printed().contains(floor::READY).then_some(()));
        listener
    }
}
