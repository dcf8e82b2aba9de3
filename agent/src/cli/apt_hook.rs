//! `apt-hook`: what apt runs before it unpacks archives (`DPkg::Pre-Install-Pkgs`). Hands each open archive to the daemon, so that what
//! it brings is vouched for before it is there.
//!
//! Never in apt's way: whatever fails is said, and apt goes on; unless `--required` asks to be stopped by what is not signed.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use doorward_formats::apt::{HOOK_BYTES_MAX, archives_to_install};
use doorward_policy::PathBytes;
use doorward_service::Exit;

use super::Failure;
use super::status::{of_client, unexpected};
use crate::config::Settings;
use crate::control::client;
use crate::control::protocol::{Answer, Request};
use crate::trust::Witnessed;
use crate::trust::ledger::Occasion;

/// Longest apt waits for all of it.
const WAIT_MAX: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Stop apt when an archive is not signed by a key that counts, or when the daemon cannot be asked
    #[arg(long)]
    required: bool,
}

/// Exit code 75 stops apt, with `--required` alone.
pub(super) fn run(settings: &Settings, options: &Options) -> Exit {
    let is_done = match hand_over(settings) {
        Ok(is_all_signed) => is_all_signed,
        Err(failure) => {
            eprintln!("doorward-agent: {failure}; what is unpacked now is vouched for by the local database alone");
            false
        }
    };
    if is_done || !options.required { Exit::Ok } else { Exit::Temporary }
}

/// Whether every archive is signed.
fn hand_over(settings: &Settings) -> Result<bool, Failure> {
    let mut told = Vec::new();
    let io = |error: std::io::Error| Failure::new(Exit::Io, format!("cannot read what apt tells: {error}"));
    std::io::stdin().lock().take(HOOK_BYTES_MAX).read_to_end(&mut told).map_err(io)?;
    let archives = archives_to_install(&told).ok_or_else(|| Failure::new(Exit::Data, "this is not what apt tells a hook".to_owned()))?;
    let deadline = Instant::now() + WAIT_MAX;
    let mut is_all_signed = true;
    for path in archives {
        if Instant::now() > deadline {
            return Err(Failure::new(Exit::Temporary, format!("not all archives were read within {} s", WAIT_MAX.as_secs())));
        }
        let shown = PathBytes::new(path);
        match bring(settings, Path::new(std::ffi::OsStr::from_bytes(path)), Occasion::Transaction)? {
            Witnessed::Signed { .. } => {}
            Witnessed::NotSigned { .. } => {
                is_all_signed = false;
                eprintln!(
                    "doorward-agent: {shown} stands in no index signed by a key that counts: where the profile asks for signed archives, \
                     what it brings does not run unless a person allows it or the host is in maintenance"
                );
            }
            Witnessed::Unusable { reason } => {
                is_all_signed = false;
                eprintln!("doorward-agent: {shown} cannot be vouched for: {reason}");
            }
        }
    }
    end(settings, Occasion::Transaction)?;
    Ok(is_all_signed)
}

/// Hands one archive to the daemon.
pub(super) fn bring(settings: &Settings, path: &Path, occasion: Occasion) -> Result<Witnessed, Failure> {
    let cannot = |error| Failure::new(Exit::NoInput, format!("cannot open {}: {error}", PathBytes::new(path.as_os_str().as_bytes())));
    let archive = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(cannot)?;
    match client::ask(&settings.socket(), &Request::Witness { occasion }, Some(archive.as_fd()), &mut |_| ()) {
        Ok(Answer::Witness(witnessed)) => Ok(witnessed),
        Ok(_) => Err(unexpected()),
        Err(error) => Err(of_client(&error)),
    }
}

/// Has the daemon put on disk what it learnt.
pub(super) fn end(settings: &Settings, occasion: Occasion) -> Result<(), Failure> {
    match client::ask(&settings.socket(), &Request::WitnessEnd { occasion }, None, &mut |_| ()) {
        Ok(Answer::Done) => Ok(()),
        Ok(_) => Err(unexpected()),
        Err(error) => Err(of_client(&error)),
    }
}
