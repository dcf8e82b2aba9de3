//! Keeps marks in step with the mounts: woken by the kernel whenever the mount table changes.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use doorward_proto::report::Coverage;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use tokio::sync::watch;

use super::coverage::Marks;
use super::monotonic_ms;
use super::mount::{MOUNTINFO, Mounts};
use crate::health::Pulse;
use crate::identify::Identifier;

/// Marks are renewed at least this often, in milliseconds: what failed is tried again and nothing is lost for ever.
const RENEWAL_MS: u16 = 60_000;

/// What the thread works with.
pub(super) struct Remarker {
    /// Opened before the first renewal, so that no change between that and the first wait goes unnoticed.
    pub(super) table: File,
    pub(super) marks: Marks,
    pub(super) mounts: Arc<ArcSwap<Mounts>>,
    pub(super) coverage: watch::Sender<Coverage>,
    pub(super) identifier: Arc<Identifier>,
    pub(super) stop: Arc<EventFd>,
}

impl Remarker {
    /// Reads the table and marks what it names; the same for the first time and all later ones.
    ///
    /// # Errors
    /// When the table cannot be read; marks stay as they are.
    pub(super) fn renew(&self) -> io::Result<()> {
        // Numbers of devices are given to other filesystems after an unmount.
        self.identifier.filesystems().forget();
        let mounts = Mounts::read(Path::new(MOUNTINFO))?;
        let coverage = self.marks.renew(&mounts);
        self.mounts.store(Arc::new(mounts));
        self.coverage.send_if_modified(|last| {
            let is_news = *last != coverage;
            *last = coverage;
            is_news
        });
        Ok(())
    }

    /// Renews on every change until asked to stop.
    pub(super) fn run(&self, pulse: &Pulse) -> io::Result<()> {
        loop {
            pulse.idle();
            let mut waits = [PollFd::new(self.table.as_fd(), PollFlags::POLLPRI), PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waits, PollTimeout::from(RENEWAL_MS)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            if waits[1].any() == Some(true) {
                return Ok(());
            }
            pulse.beat(monotonic_ms());
            if let Err(error) = self.renew() {
                tracing::warn!(%error, "cannot read the mount table; filesystems mounted from now on are not watched");
            }
        }
    }
}
