//! `why PATH`: asks the daemon about the caller's own open file, or finds out offline when no daemon runs.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use doorward_policy::PathBytes;
use doorward_service::{Clock, Exit};

use super::Failure;
use super::status::{of_client, unexpected};
use crate::config::Settings;
use crate::control::client::{self, ClientError};
use crate::control::protocol::{Answer, Request};
use crate::control::why::{Asked, Why, irregular};
use crate::credential;
use crate::exec::mount::Mounts;
use crate::identify::{Identifier, IdentityStore, Limits};
use crate::judge::{Closure, Judge};
use crate::list::{Lists, Trustee};
use crate::system::entropy;
use crate::trust::{Ledger, Publishers, Trust};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The file to explain
    path: PathBuf,
}

pub(super) fn run(settings: &Settings, options: &Options, json: bool) -> Result<(), Failure> {
    let path = std::path::absolute(&options.path).unwrap_or_else(|_| options.path.clone());
    let shown = PathBytes::new(path.as_os_str().as_bytes());
    let file = open(&path, &shown)?;
    let request = Request::Why { path: shown.clone() };
    let why = match client::ask(&settings.socket(), &request, Some(file.as_fd()), &mut |_| ()) {
        Ok(Answer::Why(why)) => *why,
        Ok(_) => return Err(unexpected()),
        Err(ClientError::NoDaemon { .. }) => offline(settings, &file, &shown)?,
        Err(error) => return Err(of_client(&error)),
    };
    super::print(&why, json)
}

/// Opens without ever waiting: a FIFO or a device is told by its type and not by hanging on it.
pub(super) fn open(path: &Path, shown: &PathBytes) -> Result<File, Failure> {
    let cannot = |error: std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::PermissionDenied { Exit::NoPermission } else { Exit::NoInput };
        Failure::new(exit, format!("cannot open {shown}: {error}"))
    };
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if let Some(what) = irregular(std::os::unix::fs::MetadataExt::mode(&metadata)) {
        return Err(Failure::new(Exit::Data, format!("{shown} is {what}: only regular files are executed")));
    }
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(cannot)
}

/// Judges by what lies on disk: the last policy and the package database.
fn offline(settings: &Settings, file: &File, path: &PathBytes) -> Result<Why, Failure> {
    let clock = Clock::system();
    let identifier = Identifier::new(Arc::new(IdentityStore::in_memory(entropy::fill)), clock.clone(), Limits::default());
    let (ledger, _) = Ledger::open(&settings.state_dir.join("trust"));
    let (trust, problems) = Trust::with_ledger(&settings.root, ledger);
    for problem in problems {
        eprintln!("doorward-agent: the package database cannot be used: {problem}");
    }
    let closure = Arc::new(Closure::default());
    closure.find(&identifier, &settings.root);
    let root = PathBytes::new(settings.root.as_os_str().as_bytes());
    let (publishers, problems) = Publishers::open(&settings.trust.publisher_anchors, clock.clone());
    for problem in problems {
        eprintln!("doorward-agent: {problem}");
    }
    let judge = Judge::new(Arc::new(lists(settings)), Arc::new(trust), closure, root).with_publishers(Arc::new(publishers));
    let mounts = Mounts::read(Path::new("/proc/self/mountinfo"))
        .map_err(|error| Failure::new(Exit::Os, format!("cannot read the mounts from /proc/self/mountinfo: {error}")))?;
    let (nothing, never) = (|_: &_| None, || false);
    let asked = Asked {
        judge: &judge,
        identifier: &identifier,
        mounts: &mounts,
        caller: None,
        verdict: &nothing,
        now: clock.now_micros(),
        offline: true,
        stop: &never,
    };
    asked.why(file, path).map_err(|error| Failure::of(Exit::Data, &error))
}

/// The last published policy, when this user may read it and it is what the policy key signed; else none.
fn lists(settings: &Settings) -> Lists {
    let credential = match credential::load(&settings.credential_dir()) {
        Ok(Some(credential)) => credential,
        Ok(None) => return Lists::unenrolled(),
        Err(error) => {
            eprintln!("doorward-agent: judging without the published policy: {error}");
            return Lists::unenrolled();
        }
    };
    let trustee = Trustee { verifier: credential.policy_verifier(), profile: credential.profile_id };
    let (lists, problems) = Lists::open(&settings.policy_dir(), trustee);
    for problem in problems {
        eprintln!("doorward-agent: {problem}");
    }
    lists
}
