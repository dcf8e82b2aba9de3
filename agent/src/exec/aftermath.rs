//! What remains to be done after an answer, by a thread that may wait: files are closed, ignore marks set, and executions that were
//! let through followed until the kernel runs what was judged.
//!
//! A file is never closed by the reader: the last descriptor of a deleted file frees its blocks, which can take as long as the disk
//! likes.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use doorward_policy::PathBytes;
use doorward_proto::report::{Fate, Process, ReportBody, Unjudged};
use doorward_service::Clock;
use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};

use super::held::Target;
use super::line::Line;
use super::location::named;
use super::process::capture as facts;
use super::queue::{Queue, SOON};
use super::reader::{Manner, Sighting, user_of};
use crate::health::{FailureReason, Health};
use crate::identify::{Attributes, Identified, Identity};
use crate::judge::{Basis, Judge};
use crate::system::group::{Group, Quiet};
use crate::system::{lease, process};

/// Things that may wait to be done.
const WAITING_MAX: usize = 16_384;
/// Executions followed at once; each keeps a descriptor, and a lease for a while.
const FOLLOWED_MAX: usize = 1_024;
/// A lease is given back after this, in milliseconds, whether the program is seen to run or not: whoever wants to write the file
/// waits for as long.
const LEASE_MS: u64 = 250;
/// How long an execution that is not seen to run by then is followed without a lease, in milliseconds: on a busy host it may still wait
/// for a processor. What changes from here on is noticed when it runs, and judged again.
const FOLLOWED_MS: u64 = 5_000;
/// When it is first looked whether a program runs; later looks come after twice the time each.
const FIRST_LOOK: Duration = SOON;
/// Ignore marks are all taken back this often, whatever happens.
const FLUSH_INTERVAL: Duration = Duration::from_secs(3600);
/// How often it is looked whether anything changed that ignore marks depend on.
const GENERATION_LOOK: Duration = Duration::from_millis(100);

/// What reports say instead of the path of a file that could not be opened; no path begins like this.
const UNOPENED: &[u8; 10] = b"(unopened)";

/// One thing to be done.
#[derive(Debug)]
pub(super) enum After {
    /// Close the file.
    Close(Target),
    /// The file was closed after writing: its ignore mark goes.
    Rewritten(File),
    /// An execution was let through.
    Allowed(Allowed),
    /// The kernel told of an execution and could not open its file for us.
    Unopened(Unopened),
}

/// An execution whose file the kernel could not open for us, because somebody keeps it from being opened or takes all descriptors.
#[derive(Debug)]
pub(super) struct Unopened {
    pub(super) pid: i32,
    pub(super) process: Option<OwnedFd>,
    pub(super) reason: FailureReason,
    /// Refused where the kernel would have asked us.
    pub(super) fate: Fate,
    /// Microseconds since 1970, UTC.
    pub(super) observed_at: i64,
}

/// An execution that was let through.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) target: Target,
    pub(super) identity: Identity,
    /// Its content's marks when that was last looked at, before it was answered.
    pub(super) content: Content,
    /// What the judgement rests on, when the kernel may be asked to be quiet about the file: it is settled, by whomever, and nobody
    /// needs to hear of each execution.
    pub(super) basis: Option<Basis>,
    /// What the kernel may be quiet about.
    pub(super) quiet: Quiet,
    /// Nobody but root may write the file, so that the kernel need not ask again; else it stays under its lease for a while.
    pub(super) only_root_writes: bool,
    /// It was opened and not executed: when it runs cannot be seen, so it stays under its lease for the whole while, and no longer.
    pub(super) is_load: bool,
    pub(super) pid: i32,
    pub(super) process: Option<Arc<OwnedFd>>,
}

/// The queue of the thread.
#[derive(Debug)]
pub(super) struct Aftermath {
    queue: Queue<After>,
    health: Health,
}

/// What the thread works with.
pub(super) struct Follower {
    pub(super) aftermath: Arc<Aftermath>,
    pub(super) judge: Arc<Judge>,
    /// Weak, so that a disk that does not answer cannot keep the group open.
    pub(super) group: Weak<Group>,
    pub(super) reports: Arc<Queue<ReportBody>>,
    /// For those that run something else than what was judged.
    pub(super) queue: Arc<Line>,
    pub(super) clock: Clock,
    pub(super) health: Health,
}

/// What changes with a file's content whoever changes it, other than its change time, which a new name changes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    inode: u64,
    size: i64,
    modified: (i64, i64),
}

/// What ignore marks that were set since the last flush rest on.
struct Marked {
    /// See [`Judge::generation`]; older than any of the bases.
    generation: u64,
    /// See [`crate::list::Lists::turns`].
    turns: u64,
    flushed_at: Instant,
    /// One of each share is enough: it holds for as long as nothing was said of any file of the share.
    bases: HashMap<u16, Basis>,
}

/// An execution that was let through and not yet seen to run.
struct Followed {
    target: Target,
    identity: Identity,
    content: Content,
    is_load: bool,
    pid: i32,
    process: Option<Arc<OwnedFd>>,
    pause: Duration,
    look_at: Instant,
    leased_until: Instant,
    was_given_back: bool,
    until: Instant,
}

impl Content {
    /// As it is now.
    pub(super) const fn of(stat: &FileStat) -> Self {
        Self { inode: stat.st_ino, size: stat.st_size, modified: (stat.st_mtime, stat.st_mtime_nsec) }
    }
}

impl Followed {
    fn new(allowed: Allowed, now: Instant) -> Self {
        let Allowed { target, identity, content, is_load, pid, process, .. } = allowed;
        let leased_until = now + Duration::from_millis(LEASE_MS);
        let pause = if is_load { leased_until - now } else { FIRST_LOOK };
        let until = leased_until + Duration::from_millis(FOLLOWED_MS);
        let look_at = now + pause;
        Self { target, identity, content, is_load, pid, process, pause, look_at, leased_until, was_given_back: false, until }
    }
}

impl Aftermath {
    pub(super) fn new(health: Health) -> Self {
        Self { queue: Queue::new(WAITING_MAX), health }
    }

    /// Has it done, at once or, where that is early enough, when executions are looked after anyway. What finds no room is done without: the file is closed here, no mark is set, the lease ends.
    pub(super) fn add(&self, after: After) {
        // PERF: waking the thread for each start of a user's program is as dear as all the rest of looking after it.
        let can_wait = matches!(&after, After::Allowed(allowed) if !allowed.only_root_writes);
        let offered = if can_wait { self.queue.offer_for_later(after) } else { self.queue.offer(after) };
        if offered.is_err() {
            self.health.note(FailureReason::AftermathFull);
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.queue.close();
    }
}

impl Follower {
    /// Works until the queue is closed and empty.
    pub(super) fn run(&self) {
        let mut followed: Vec<Followed> = Vec::new();
        let (generation, turns) = (self.judge.generation(), self.judge.lists().turns());
        let mut marks = Marked { generation, turns, flushed_at: Instant::now(), bases: HashMap::new() };
        let mut next = Vec::new();
        loop {
            let wait = if followed.is_empty() { GENERATION_LOOK } else { FIRST_LOOK };
            if self.aftermath.queue.take_all_within(wait, &mut next).is_err() {
                return;
            }
            self.keep_up(&mut marks);
            for after in next.drain(..) {
                self.see_to(after, &mut followed, &mut marks);
            }
            let now = Instant::now();
            followed.retain_mut(|followed| now < followed.look_at || !self.is_over(followed, now));
        }
    }

    fn see_to(&self, after: After, followed: &mut Vec<Followed>, marks: &mut Marked) {
        match after {
            After::Close(target) => drop(target),
            After::Rewritten(file) => self.with_group(|group| self.tell(group, &file)),
            After::Unopened(unopened) => self.report(unopened),
            After::Allowed(allowed) if allowed.only_root_writes => self.ignore(&allowed, marks),
            After::Allowed(allowed) => {
                if followed.len() >= FOLLOWED_MAX {
                    self.make_room(followed);
                }
                followed.push(Followed::new(allowed, Instant::now()));
            }
        }
    }

    /// Lets go of whoever is followed without a lease anyway, or else of the one followed for longest.
    fn make_room(&self, followed: &mut Vec<Followed>) {
        let now = Instant::now();
        followed.retain(|followed| now < followed.leased_until);
        if followed.len() >= FOLLOWED_MAX {
            followed.remove(0);
            self.health.note(FailureReason::AftermathFull);
        }
    }

    /// Takes all ignore marks back when what they rest on changed, and now and then in any case.
    fn keep_up(&self, marks: &mut Marked) {
        let (generation, turns) = (self.judge.generation(), self.judge.lists().turns());
        let is_news = (generation, turns) != (marks.generation, marks.turns);
        (marks.generation, marks.turns) = (generation, turns);
        let is_over = is_news && marks.bases.values().any(|basis| !self.judge.holds(basis));
        if is_over || marks.flushed_at.elapsed() > FLUSH_INTERVAL {
            self.flush();
            marks.flushed_at = Instant::now();
            marks.bases.clear();
        }
    }

    fn flush(&self) {
        self.with_group(|group| {
            if group.tell_all().is_err() {
                self.health.note(FailureReason::MarkFlushFailed);
            }
        });
    }

    /// Sets an ignore mark, and takes it back when the file or what it was judged by changed meanwhile.
    fn ignore(&self, allowed: &Allowed, marks: &mut Marked) {
        let Some(basis) = allowed.basis.filter(|basis| self.judge.holds(basis)) else { return };
        let file = allowed.target.file();
        self.with_group(|group| {
            // Kept before the mark stands: of two bases of one share the older one is found out first.
            marks.bases.entry(basis.stamp().share()).or_insert(basis);
            let is_set = group.ignore(file.as_fd(), allowed.quiet).is_ok();
            if is_set && (!self.judge.holds(&basis) || !is_still(file, &allowed.identity)) {
                self.tell(group, file);
            }
        });
    }

    /// Whether there is nothing more to wait for. What was rewritten before it was seen to run is killed; under a lease it cannot have
    /// been, whatever times were set.
    fn is_over(&self, followed: &mut Followed, now: Instant) -> bool {
        if followed.is_load {
            return true;
        }
        let file = followed.target.file();
        let is_leased = lease::is_held(file);
        let has_ended = |followed: &Followed| followed.process.as_ref().is_none_or(|process| !process::is_alive(process));
        if is_leased && has_ended(followed) {
            return true;
        }
        // SECURITY: before its content is looked at: what runs cannot be written any more.
        let is_running = runs(followed.pid, followed.content.inode);
        if !is_leased && fstat(file).map(|stat| Content::of(&stat)) != Ok(followed.content) {
            self.end(followed);
            return true;
        }
        if is_running {
            if !is_leased && !is_still(file, &followed.identity) {
                // Its times may have been set back.
                self.judge_again(followed);
            }
            return true;
        }
        if !followed.was_given_back && now >= followed.leased_until {
            // Whoever waits to write goes on; whether he did is seen from here on.
            lease::give_back(file);
            followed.was_given_back = true;
        }
        followed.pause *= 2;
        followed.look_at = now + followed.pause;
        now >= followed.until || has_ended(followed)
    }

    /// Kills what runs, or is about to run, other bytes than those that were judged.
    fn end(&self, followed: &Followed) {
        self.health.note(FailureReason::ChangedDuringExec);
        let fate = match followed.process.as_deref().map(process::kill) {
            Some(Ok(())) => Fate::Killed,
            Some(Err(error)) if error.raw_os_error() != Some(Errno::ESRCH as i32) => {
                self.health.note(FailureReason::KillFailed);
                Fate::Ran
            }
            _ => Fate::Ran,
        };
        let process = facts(followed.pid, followed.process.as_deref());
        let path = named(followed.target.file()).reported();
        self.tell_unjudged(path, process, FailureReason::ChangedDuringExec, fate, self.clock.now_micros());
    }

    /// Has what runs judged as it is now.
    fn judge_again(&self, followed: &Followed) {
        let Ok(file) = followed.target.file().try_clone() else { return self.end(followed) };
        let process = followed.process.as_ref().and_then(|process| process.try_clone().ok());
        let sighting = Sighting {
            target: Target::Open(file),
            given: None,
            manner: Manner::Late,
            user: user_of(followed.pid),
            pid: followed.pid,
            process,
            observed_at: self.clock.now_micros(),
        };
        if self.queue.offer(sighting).is_err() {
            self.end(followed);
        }
    }

    fn report(&self, unopened: Unopened) {
        let Unopened { pid, process, reason, fate, observed_at } = unopened;
        self.tell_unjudged(PathBytes::new(*UNOPENED), facts(pid, process.as_ref()), reason, fate, observed_at);
    }

    fn tell_unjudged(&self, path: PathBytes, process: Process, reason: FailureReason, fate: Fate, observed_at: i64) {
        let unjudged = Unjudged {
            path,
            process,
            reason: reason.code().to_owned(),
            fate,
            first_observed_at: observed_at,
            last_observed_at: observed_at,
            count: 1,
        };
        if self.reports.offer(ReportBody::Unjudged(unjudged)).is_err() {
            self.health.note(FailureReason::ReportDropped);
        }
    }

    fn tell(&self, group: &Group, file: &File) {
        if group.tell(file.as_fd()).is_err() {
            self.health.note(FailureReason::MarkFlushFailed);
        }
    }

    fn with_group(&self, work: impl FnOnce(&Group)) {
        if let Some(group) = self.group.upgrade() {
            work(&group);
        }
    }
}

/// Whether the process runs an executable with this inode number; a script's interpreter has another.
fn runs(pid: i32, inode: u64) -> bool {
    nix::sys::stat::stat(format!("/proc/{pid}/exe").as_str()).is_ok_and(|stat| stat.st_ino == inode)
}

/// Whether the inode is in the state in which it was judged.
pub(super) fn is_still(file: &File, identity: &Identity) -> bool {
    content_still(file, identity).is_some()
}

/// The marks of its content, for as long as the inode is in the state in which it was judged.
pub(super) fn content_still(file: &File, identity: &Identity) -> Option<Content> {
    let stat = fstat(file).ok().filter(|stat| Identity::of(identity.filesystem, stat) == *identity)?;
    Some(Content::of(&stat))
}

/// The marks of its content, when nothing but the change time moved since it was identified.
pub(super) fn content_but_for_names(file: &File, identified: &Identified) -> Option<Content> {
    let stat = fstat(file).ok()?;
    let Identified { identity, attributes, .. } = *identified;
    let now = Attributes { changed_at: attributes.changed_at, ..Attributes::of(&stat) };
    (Identity::of(identity.filesystem, &stat).inode == identity.inode && now == attributes).then(|| Content::of(&stat))
}
