//! The reader's answers to opens that are no executions. Most are answered at once: what may run may be read by anybody, and so may what
//! holds no program where the opener runs nothing it reads. It never denies here: whether an open is a load takes a closer look.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use nix::sys::stat::fstat;

use super::aftermath::{After, Allowed, Content};
use super::held::{Crowd, Held, Target, respond};
use super::line::Line;
use super::mount::{self, Mounts, below};
use super::opener::Openers;
use super::plain::Plain;
use super::quieting::nobodys;
use super::reader::{Manner, Reader, Sighting, user_of};
use crate::health::FailureReason;
use crate::judge::{Basis, Judge};
use crate::system::group::{Answer, Event, Quiet};

/// What the reader needs for opens: shares of their own, so that they never crowd out executions.
pub(super) struct Opens {
    pub(super) plain: Arc<Plain>,
    pub(super) openers: Arc<Openers>,
    pub(super) mounts: Arc<ArcSwap<Mounts>>,
    pub(super) crowd: Arc<Crowd>,
    pub(super) queue: Arc<Line>,
}

/// An open that is answered at once, and about what the kernel may be asked to be quiet from then on.
type LetBe = Option<(Basis, Quiet)>;

impl Reader {
    /// Answers an open or has it looked at within its time.
    pub(super) fn open(&self, event: Event, observed_at: i64) {
        let is_held = event.is_held();
        let Event { file, pid, process, .. } = event;
        let Some(file) = file else {
            // The kernel has denied it where it would have asked: somebody keeps the file from being opened, for a moment.
            self.health.note(if is_held { FailureReason::DeniedUnjudged } else { FailureReason::OpensUnseen });
            return;
        };
        if let Some(quiet) = self.is_let_be(&file, pid) {
            if is_held {
                respond(&self.group, &file, Answer::Allow, &self.health);
            }
            return self.let_be(file, pid, quiet);
        }
        let user = user_of(pid);
        let target = if is_held {
            match Held::new(Arc::downgrade(&self.group), file, user, &self.opens.crowd, &self.health) {
                Ok(held) => Target::Held(Arc::new(held)),
                Err(file) => {
                    respond(&self.group, &file, Answer::Deny, &self.health);
                    return self.aftermath.add(After::Close(Target::Open(file)));
                }
            }
        } else {
            Target::Open(file)
        };
        if let Some(held) = target.held()
            && !self.deadlines.add(held, Instant::now())
        {
            held.answer(Answer::Deny);
            self.health.note(FailureReason::OverTotalCap);
        }
        let sighting = Sighting { target, given: None, manner: Manner::Told, user, pid, process, observed_at };
        let Err(sighting) = self.opens.queue.offer(sighting) else { return };
        match sighting.target.held() {
            Some(held) => {
                self.health.note(FailureReason::QueueFull);
                held.answer(Answer::Deny);
            }
            None => {
                self.health.note(FailureReason::OpensUnseen);
            }
        }
        self.aftermath.add(After::Close(sighting.target));
    }

    fn is_let_be(&self, file: &File, pid: i32) -> Option<LetBe> {
        let generation = self.judge.generation();
        if let Some(identity) = fstat(file).ok().and_then(|stat| self.identity(&stat)) {
            let known = self.warm.known(generation, &identity).filter(|known| known.answer == Answer::Allow && !known.matters);
            // SECURITY: read last, as for executions.
            if let Some(known) = known.filter(|known| self.judge.holds(&known.basis)) {
                return Some(known.only_root_writes.then_some((known.basis, Quiet::Everything)));
            }
            match self.opens.plain.known(&identity) {
                Some(plain) if plain.is_silent => return Some(Some((nobodys(&self.judge), Quiet::Opens))),
                Some(_) if self.opens.openers.is_no_interpreter(pid, generation) => return Some(None),
                _ => {}
            }
        }
        is_excluded(file, &self.judge, &self.opens.mounts.load()).then_some(None)
    }

    fn let_be(&self, file: File, pid: i32, quiet: LetBe) {
        let target = Target::Open(file);
        let stat = quiet.and_then(|_| fstat(target.file()).ok());
        let found = stat.and_then(|stat| Some((self.identity(&stat)?, Content::of(&stat))));
        self.aftermath.add(match quiet.zip(found) {
            Some(((basis, quiet), (identity, content))) => After::Allowed(Allowed {
                target,
                identity,
                content,
                basis: Some(basis),
                quiet,
                only_root_writes: true,
                is_load: true,
                pid,
                process: None,
            }),
            None => After::Close(target),
        });
    }
}

/// Whether the profile has opens left alone where this file lies.
///
/// SECURITY: a path counts only on a mount of this host's own table; in a name space of his own anybody may call a place whatever he
/// likes.
fn is_excluded(file: &File, judge: &Judge, mounts: &Mounts) -> bool {
    let settings = judge.lists().settings();
    let mut excluded = settings.exclusions.iter().chain(&settings.open_exclusions).peekable();
    if excluded.peek().is_none() {
        return false;
    }
    let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) else { return false };
    let path = path.as_os_str().as_bytes();
    excluded.any(|folder| below(path, folder.as_bytes()).is_some()) && mount::id_of(file).is_some_and(|id| mounts.by_id(id).is_some())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use doorward_policy::PathBytes;

    use super::*;
    use crate::exec::mount::MOUNTINFO;
    use crate::judge::tests::TestRoot;

    #[test]
    fn a_place_is_left_alone_only_on_a_mount_of_this_host() {
        let (host, folder) = (TestRoot::new(), tempfile::tempdir().unwrap());
        let folder = folder.path().canonicalize().unwrap();
        std::fs::write(folder.join("data"), "x").unwrap();
        let file = File::open(folder.join("data")).unwrap();
        let mounts = Mounts::read(Path::new(MOUNTINFO)).unwrap();
        assert!(!is_excluded(&file, &host.judge, &mounts));
        for (place, is_left_alone) in [(folder.clone(), true), (folder.join("dat"), false), (folder.join("data"), true)] {
            host.settings(|settings| settings.open_exclusions = vec![PathBytes::new(place.as_os_str().as_bytes())]);
            assert_eq!(is_excluded(&file, &host.judge, &mounts), is_left_alone, "{}", place.display());
        }
        assert!(!is_excluded(&file, &host.judge, &Mounts::default()), "a mount that nobody here knows");
    }
}
