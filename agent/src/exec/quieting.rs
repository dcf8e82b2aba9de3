//! Having the kernel be quiet about what is opened all the time: files that only root may write, once it is known that whoever opens
//! them may run them too, or that nobody can. By a thread of its own that nobody waits for.
//!
//! Text is not passed over for all openers just because no kernel would run it: an interpreter would. It is quiet only where its package
//! vouches for it. What else holds no program and is no text at all (locales, caches, databases of the system) is quiet as it is.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward_policy::{FileKind, Interpreter, PathBytes, Sha256, Verdict};
use nix::sys::stat::fstat;

use super::aftermath::{After, Aftermath, Allowed, Content};
use super::guarded::only_root_writes;
use super::held::Target;
use super::location::find;
use super::monotonic_ms;
use super::mount::Mounts;
use super::opener::{Means, Openers};
use super::outcome::matters;
use super::plain::{Known as Opened, Plain};
use super::queue::Queue;
use super::warm::{Known, Warm};
use crate::health::Pulse;
use crate::identify::{Identified, Identifier, Identity, NameClaim, Reader};
use crate::judge::{Basis, Judge};
use crate::system::group::{Answer, Class, Quiet};

/// Files that may wait; each is an open descriptor. What finds no room is told of again.
const FILES_MAX: usize = 512;
/// Larger files are digested only when somebody runs them, in bytes.
const DIGESTED_BYTES_MAX: u64 = 64 << 20;
/// Bytes looked at to tell text from other things.
const LOOKED_AT_BYTES: usize = 4_096;
/// How often it is looked whether the profile lists other interpreters.
const SETTINGS_LOOK: Duration = Duration::from_secs(1);

/// What the kernel may be quiet about rests on nothing that is said of any file, but on the rest.
pub(super) fn nobodys(judge: &Judge) -> Basis {
    judge.basis(&Sha256::new([0; 32]))
}

/// A file to be looked at.
#[derive(Debug)]
struct Waiting {
    file: File,
    identity: Identity,
    kind: Option<FileKind>,
}

/// The thread's queue.
#[derive(Debug)]
pub(super) struct Quieting(Queue<Waiting>);

impl Quieting {
    pub(super) fn new() -> Self {
        Self(Queue::new(FILES_MAX))
    }

    /// Has a file looked at that only root may write, unless too many wait.
    pub(super) fn offer(&self, file: File, identity: Identity, kind: Option<FileKind>) {
        drop(self.0.offer(Waiting { file, identity, kind }));
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// What the thread works with.
pub(super) struct Quieter {
    pub(super) quieting: Arc<Quieting>,
    pub(super) plain: Arc<Plain>,
    pub(super) openers: Arc<Openers>,
    pub(super) warm: Arc<Warm>,
    pub(super) aftermath: Arc<Aftermath>,
    pub(super) identifier: Arc<Identifier>,
    pub(super) judge: Arc<Judge>,
    pub(super) mounts: Arc<ArcSwap<Mounts>>,
    pub(super) class: Class,
}

impl Quieter {
    /// Works until the queue is closed and empty. Finds the host's interpreters first, and whenever the profile lists others.
    pub(super) fn run(&self, pulse: &Pulse) {
        let mut listed: Option<Vec<Interpreter>> = None;
        let mut reader = Reader::default();
        loop {
            pulse.idle();
            let Ok(next) = self.quieting.0.take_within(SETTINGS_LOOK) else { return };
            pulse.beat(monotonic_ms());
            let settings = self.judge.lists().settings();
            if listed.as_ref() != Some(&settings.interpreters) {
                let root = self.judge.trust().root();
                let mounts = self.mounts.load();
                self.openers.find_interpreters(root, &Means { judge: &self.judge, identifier: &self.identifier, mounts: &mounts });
                listed = Some(settings.interpreters.clone());
            }
            if let Some(waiting) = next {
                self.settle(waiting, &mut reader, pulse);
            }
        }
    }

    fn settle(&self, waiting: Waiting, reader: &mut Reader, pulse: &Pulse) {
        let Waiting { file, identity, kind } = waiting;
        if kind.is_none() && (identity.size == 0 || !is_text(&file)) {
            self.plain.remember(identity, Opened { is_silent: true });
            return self.quiet(file, identity, nobodys(&self.judge), Quiet::Opens);
        }
        let location = find(&file, &self.mounts.load()).location;
        let Some(path) = location.proven() else { return };
        if (kind.is_none() && !self.judge.lists_digest(path)) || identity.size > DIGESTED_BYTES_MAX {
            return;
        }
        let Some(found) = self.identify(&file, &identity, kind, path, reader, pulse) else { return };
        let basis = self.judge.basis(&found.digests.sha256);
        let evidence = self.judge.evidence(Some(path), &found.digests);
        let judged = self.judge.judge(&found.digests.sha256, &identity, &evidence);
        if judged.judgement.verdict != Verdict::Allow || matters(&judged) || !only_root_writes(&file) {
            return;
        }
        self.warm.remember(identity, Known { basis, answer: Answer::Allow, matters: false, only_root_writes: true });
        // Where nobody is held, every execution is to be told of.
        self.quiet(file, identity, basis, if self.class == Class::Permission { Quiet::Everything } else { Quiet::Opens });
    }

    /// The file by content. Text is not remembered for it: the store is for what can be run.
    fn identify(
        &self,
        file: &File,
        identity: &Identity,
        kind: Option<FileKind>,
        path: &PathBytes,
        reader: &mut Reader,
        pulse: &Pulse,
    ) -> Option<Identified> {
        let stop = || {
            pulse.beat(monotonic_ms());
            false
        };
        let wanted = self.judge.wanted_digest(path);
        if kind.is_some() {
            let found = self.identifier.file(file, path.file_name(), wanted, &stop).ok()??;
            let is_kept = self.identifier.kind(file).is_ok_and(|(_, lasting)| lasting == Some(*identity));
            return (found.identity == *identity && is_kept).then_some(found);
        }
        let examined = self.identifier.examine(reader, file, NameClaim::Source, |_| wanted, &stop).ok()?;
        examined.candidate.filter(|_| examined.lasting == Some(*identity))
    }

    fn quiet(&self, file: File, identity: Identity, basis: Basis, quiet: Quiet) {
        let Ok(stat) = fstat(&file) else { return };
        let (target, content) = (Target::Open(file), Content::of(&stat));
        let (basis, only_root_writes, is_load) = (Some(basis), true, true);
        let allowed = Allowed { target, identity, content, basis, quiet, only_root_writes, is_load, pid: 0, process: None };
        self.aftermath.add(After::Allowed(allowed));
    }
}

/// Whether a file may be text: nothing at its beginning says that it is not.
fn is_text(file: &File) -> bool {
    let mut beginning = [0; LOOKED_AT_BYTES];
    file.read_at(&mut beginning, 0).is_ok_and(|bytes| !beginning[..bytes].contains(&0))
}
