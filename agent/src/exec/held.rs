//! An execution that the kernel holds until it is answered: answered exactly once, by whoever comes first, and answered in any
//! case. Owns the event's file, since the kernel knows the event by that descriptor.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::health::{FailureReason, Health};
use crate::system::group::{Answer, Group};

/// The one user who may have everything held: the system itself would stand still without him.
const ROOT: u32 = 0;
/// Of all that may be held, the part that may be one user's, and the part that is kept for the system itself.
const USER_PART: usize = 4;
/// Executions of one user held at once, however many may be in all. Each answer makes the kernel wake every process that waits for
/// one, which costs the whole host a microsecond and a change of processes for each of them.
const OF_USER_MAX: usize = 256;

/// How many executions are held at the moment, for whom; what is above the limits is not held at all.
#[derive(Debug)]
pub(super) struct Crowd {
    /// By user. Locked for a look only.
    held: Mutex<(usize, HashMap<u32, usize>)>,
    held_max: usize,
    is_over: AtomicBool,
}

impl Crowd {
    /// Room for `held_max`.
    pub(super) fn new(held_max: usize) -> Self {
        Self { held: Mutex::default(), held_max, is_over: AtomicBool::new(false) }
    }

    fn admit(&self, user: u32) -> Result<(), FailureReason> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, users) = &mut *held;
        let of_user = users.get(&user).copied().unwrap_or(0);
        let kept = if user == ROOT { 0 } else { self.held_max / USER_PART };
        if *all >= self.held_max - kept {
            return Err(FailureReason::OverTotalCap);
        }
        if user != ROOT && of_user >= self.held_max.div_ceil(USER_PART).min(OF_USER_MAX) {
            return Err(FailureReason::OverUserCap);
        }
        *all += 1;
        users.insert(user, of_user + 1);
        Ok(())
    }

    fn leave(&self, user: u32) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, users) = &mut *held;
        *all = all.saturating_sub(1);
        if let Entry::Occupied(mut of_user) = users.entry(user) {
            *of_user.get_mut() -= 1;
            if *of_user.get() == 0 {
                of_user.remove();
            }
        }
    }

    /// Watching ends: from now on everybody is let go.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// Values of [`Held::given`].
const WAITING: u8 = 0;
const ALLOWED: u8 = 1;
const DENIED: u8 = 2;

/// One held execution. Dropping it unanswered denies it: its owner met a defect, and nobody knows what the file is.
#[derive(Debug)]
pub(super) struct Held {
    /// Weak, so that a worker that waits for a dead disk cannot keep the group open, and with it everything else held.
    group: Weak<Group>,
    file: File,
    user: u32,
    given: AtomicU8,
    crowd: Arc<Crowd>,
    health: Health,
}

impl Held {
    /// Takes over an event of a permission group. `Err` gives the file back when there is no room: to be answered at once.
    pub(super) fn new(group: Weak<Group>, file: File, user: u32, crowd: &Arc<Crowd>, health: &Health) -> Result<Self, File> {
        if let Err(reason) = crowd.admit(user) {
            health.note(reason);
            return Err(file);
        }
        Ok(Self { group, file, user, given: AtomicU8::new(WAITING), crowd: Arc::clone(crowd), health: health.clone() })
    }

    /// The file that is to be executed.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// What the kernel was told, by whomever; `None` for as long as it waits.
    pub(super) fn given(&self) -> Option<Answer> {
        match self.given.load(Ordering::Acquire) {
            ALLOWED => Some(Answer::Allow),
            DENIED => Some(Answer::Deny),
            _ => None,
        }
    }

    /// Answers, unless somebody did before; gives the answer that stands.
    pub(super) fn answer(&self, answer: Answer) -> Answer {
        let answer = if self.crowd.is_over.load(Ordering::Acquire) { Answer::Allow } else { answer };
        let word = match answer {
            Answer::Allow => ALLOWED,
            Answer::Deny => DENIED,
        };
        match self.given.compare_exchange(WAITING, word, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                // A group that is gone has let everything go.
                if let Some(group) = self.group.upgrade() {
                    respond(&group, &self.file, answer, &self.health);
                }
                answer
            }
            Err(ALLOWED) => Answer::Allow,
            Err(_) => Answer::Deny,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.given().is_none() {
            self.answer(Answer::Deny);
            self.health.note(FailureReason::HeldDropped);
        }
        self.crowd.leave(self.user);
    }
}

/// The file of a sighting.
#[derive(Debug)]
pub(super) enum Target {
    /// Executed already, or let go: nobody waits for what is found out about it.
    Open(File),
    /// The kernel holds its execution.
    Held(Arc<Held>),
}

impl Target {
    /// The file, open for reading.
    pub(super) fn file(&self) -> &File {
        match self {
            Self::Open(file) => file,
            Self::Held(held) => held.file(),
        }
    }

    /// The execution that waits, if it does.
    pub(super) const fn held(&self) -> Option<&Arc<Held>> {
        match self {
            Self::Open(_) => None,
            Self::Held(held) => Some(held),
        }
    }
}

/// Answers an event that nobody holds. What the kernel refuses is answered with a denial once more, so that nothing waits.
pub(super) fn respond(group: &Group, file: &File, answer: Answer, health: &Health) {
    if group.answer(file.as_fd(), answer).is_ok() {
        return;
    }
    health.note(FailureReason::AnswerRefused);
    // Refused again, the event is one the kernel no longer knows: its process was killed meanwhile.
    let _ = group.answer(file.as_fd(), Answer::Deny);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn crowd(held_max: usize) -> Arc<Crowd> {
        Arc::new(Crowd::new(held_max))
    }

    fn held_in(crowd: &Arc<Crowd>, health: &Health) -> Result<Held, File> {
        Held::new(Weak::new(), tempfile::tempfile().unwrap(), ROOT, crowd, health)
    }

    /// One of a group that is gone.
    pub(in crate::exec) fn held() -> Arc<Held> {
        Arc::new(held_in(&crowd(1), &Health::default()).unwrap())
    }

    #[test]
    fn the_first_answer_stands() {
        let held = held();
        assert_eq!(held.given(), None);
        assert_eq!(held.answer(Answer::Deny), Answer::Deny);
        assert_eq!(held.answer(Answer::Allow), Answer::Deny);
        assert_eq!(held.given(), Some(Answer::Deny));
    }

    #[test]
    fn who_is_forgotten_is_denied_and_counted() {
        let health = Health::default();
        drop(held_in(&crowd(1), &health).unwrap());
        assert_eq!(health.count(FailureReason::HeldDropped), 1);
    }

    #[test]
    fn there_is_room_for_so_many_at_once() {
        let (crowd, health) = (crowd(1), Health::default());
        let first = held_in(&crowd, &health).unwrap();
        assert!(held_in(&crowd, &health).is_err());
        first.answer(Answer::Allow);
        drop(first);
        assert!(held_in(&crowd, &health).is_ok());
    }

    #[test]
    fn one_user_leaves_room_for_others() {
        let (crowd, health) = (crowd(8), Health::default());
        let hold = |user| Held::new(Weak::new(), tempfile::tempfile().unwrap(), user, &crowd, &health);
        let kept: Vec<_> = std::iter::from_fn(|| hold(7).ok()).collect();
        assert_eq!((kept.len(), health.counts()), (2, vec![("over_user_cap", 1)]));
        assert!(hold(8).is_ok());
        let roots: Vec<_> = std::iter::from_fn(|| hold(ROOT).ok()).collect();
        assert_eq!(roots.len(), 6);
        drop(kept);
        assert!(hold(7).is_err(), "the rest is kept for root");
        drop(roots);
        assert!(hold(7).is_ok(), "who left makes room");
    }

    #[test]
    fn one_user_never_has_so_many_held_that_answering_is_slow() {
        let crowd = crowd(16_384);
        for _ in 0..OF_USER_MAX {
            crowd.admit(7).unwrap();
        }
        assert_eq!(crowd.admit(7), Err(FailureReason::OverUserCap));
        crowd.admit(8).unwrap();
    }

    #[test]
    fn at_the_end_everybody_is_let_go() {
        let (crowd, health) = (crowd(1), Health::default());
        let held = held_in(&crowd, &health).unwrap();
        crowd.end();
        assert_eq!(held.answer(Answer::Deny), Answer::Allow);
    }
}
