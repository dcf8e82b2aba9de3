//! Openers as they run on this machine.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::*;
use crate::exec::mount::MOUNTINFO;
use crate::judge::tests::TestRoot;

/// A process that waits to be killed.
struct Waiting(Child);

impl Waiting {
    fn start(program: &Path) -> Self {
        // A shell that waits for its input, and whatever else waits for a while.
        let mut command = Command::new(program);
        command.args(["60"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_program_is_no_interpreter_until_it_is_listed() {
    let (host, openers) = (TestRoot::new(), Openers::default());
    let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap();
    let means = Means { judge: &host.judge, identifier: &host.identifier, mounts: &mounts };
    let sleep = Waiting::start(Path::new("/bin/sleep"));
    let generation = host.judge.generation();
    assert!(!openers.is_no_interpreter(sleep.pid(), generation), "not met yet");
    let opener = openers.find(sleep.pid(), &means).unwrap();
    assert!(opener.interpreter.is_none() && opener.linkage == Linkage::Loader);
    let filesystem = std::fs::metadata("/bin/sleep").unwrap();
    if !host.identifier.filesystems().of(filesystem.dev(), File::open("/bin/sleep").unwrap()).unwrap().is_remembered {
        return eprintln!("SKIPPED: nothing is remembered of the file system with this machine's programs");
    }
    assert!(openers.is_no_interpreter(sleep.pid(), generation));
    host.settings(|settings| settings.interpreters = vec!["slee*:.zz".parse().unwrap()]);
    assert!(!openers.is_no_interpreter(sleep.pid(), host.judge.generation()), "the list is another");
    assert!(openers.find(sleep.pid(), &means).unwrap().interpreter.is_some());
}

#[test]
fn a_copy_of_an_interpreter_under_another_name_is_one() {
    let (host, openers) = (TestRoot::new(), Openers::default());
    host.settings(|settings| settings.interpreters = vec!["sleep:.zz".parse().unwrap()]);
    let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap();
    let means = Means { judge: &host.judge, identifier: &host.identifier, mounts: &mounts };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("innocent");
    std::fs::copy("/bin/sleep", &copy).unwrap();
    openers.find_interpreters(Path::new("/"), &means);
    // As its execution would have had it.
    host.identifier.file(&File::open(&copy).unwrap(), b"innocent", None, &|| false).unwrap().unwrap();
    let process = Waiting::start(&copy);
    let opener = openers.find(process.pid(), &means).unwrap();
    if opener.digest.is_none() {
        return eprintln!("SKIPPED: nothing is remembered of files where this test keeps them");
    }
    assert!(opener.interpreter.is_some());
}

#[test]
fn a_loader_that_was_started_is_known_as_one() {
    let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
    if !loader.exists() {
        return eprintln!("SKIPPED: this machine has another loader");
    }
    assert_eq!(linkage(File::open(loader).unwrap(), b"ld-linux-x86-64.so.2").0, Linkage::IsLoader);
    assert_eq!(linkage(File::open("/bin/sleep").unwrap(), b"sleep").0, Linkage::Loader);
}
