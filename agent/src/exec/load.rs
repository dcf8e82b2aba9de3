//! The closer look at an open: whether somebody is about to run what he opens. If not, he is let go, whatever the file holds; if so, it
//! is judged as an execution would be.

use std::fs::File;
use std::sync::Arc;

use doorward_policy::{FileKind, Use};

use super::aftermath::After;
use super::guarded::only_root_writes;
use super::location::named;
use super::opener::{Means, Opener, Openers};
use super::plain::{Known, Plain};
use super::quieting::Quieting;
use super::reader::Sighting;
use super::witness::{Bench, Seen};
use super::{monotonic_ms, process};
use crate::health::Pulse;
use crate::identify::Identity;
use crate::system::group::{Answer, Class};

/// What is remembered of opens.
#[derive(Clone)]
pub(super) struct OpenMemory {
    pub(super) plain: Arc<Plain>,
    pub(super) openers: Arc<Openers>,
    pub(super) quieting: Arc<Quieting>,
}

impl Bench {
    /// The witness of opens: takes sightings until the queue is closed.
    pub(super) fn watch_opens(&self, pulse: &Pulse) {
        while let Some(sighting) = self.queue.take() {
            pulse.beat(monotonic_ms());
            self.guard(|| self.look_closer(sighting));
            pulse.idle();
        }
    }

    fn look_closer(&self, sighting: Sighting) {
        let mounts = self.mounts.load();
        let (file, pid) = (sighting.target.file(), sighting.pid);
        // What cannot be read here cannot be run by whoever opens it either; the kernel tells him so.
        let (kind, lasting) = self.identifier.kind(file).unwrap_or_default();
        let means = Means { judge: &self.outcomes.judge, identifier: &self.identifier, mounts: &mounts };
        let opener = self.opens.openers.find(pid, &means);
        if let Some(opener) = opener.filter(|opener| self.is_load(opener, pid, file, kind)) {
            let usage = Use::Load { opener: opener.digest };
            let Sighting { target, pid, process, observed_at, given, manner, .. } = sighting;
            let facts = process::capture(pid, process.as_ref());
            return self.consider(target, Seen { given, manner, process, facts, observed_at, usage }, &mounts);
        }
        if let Some(held) = sighting.target.held() {
            held.answer(Answer::Allow);
        }
        self.remember(file, kind, lasting);
        self.outcomes.aftermath.add(After::Close(sighting.target));
    }

    fn is_load(&self, opener: &Opener, pid: i32, file: &File, kind: Option<FileKind>) -> bool {
        let name = named(file).reported().file_name().to_vec();
        match self.outcomes.class {
            Class::Permission => opener.is_to_run(pid, file, &name, kind),
            Class::Notification => opener.has_run(pid, file, &name, kind),
        }
    }

    /// So that the next open costs less.
    fn remember(&self, file: &File, kind: Option<FileKind>, lasting: Option<Identity>) {
        let Some(identity) = lasting else { return };
        if kind.is_none() {
            self.opens.plain.remember(identity, Known { is_silent: false });
        }
        if only_root_writes(file)
            && let Ok(file) = file.try_clone()
        {
            self.opens.quieting.offer(file, identity, kind);
        }
    }
}
