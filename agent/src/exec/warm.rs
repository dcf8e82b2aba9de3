//! Answers for files that were judged already, so that starting a known program costs the reader one look. Valid for as long as what
//! judging rests on stays, see [`Basis`]; forgetting costs time and never denies.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::identify::Identity;
use crate::judge::Basis;
use crate::system::group::Answer;

/// Inodes remembered; at some 100 bytes each this stays below 8 MiB. All are forgotten when there is no more room.
const INODES_MAX: usize = 65_536;

/// What is known of an inode's present content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// What judging rested on; the answer is given only while it holds.
    pub(super) basis: Basis,
    /// What the kernel is told.
    pub(super) answer: Answer,
    /// People should hear of each execution: it was denied, is a threat, or nothing settles it.
    pub(super) matters: bool,
    /// Nobody but root may write the file, so that its content cannot change between the answer and the execution.
    pub(super) only_root_writes: bool,
}

impl Known {
    /// Whether the kernel may be asked not to tell of the file: it is allowed, nobody need hear of it, and only root can change it.
    pub(super) fn is_silent(&self) -> bool {
        self.answer == Answer::Allow && !self.matters && self.only_root_writes
    }
}

/// Answers by inode. The lock is never held across anything but a look.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<(u64, HashMap<Identity, Known>)>);

impl Warm {
    /// What was judged in this generation. Whether it holds for the file is for the caller to ask.
    pub(super) fn known(&self, generation: u64, identity: &Identity) -> Option<Known> {
        let inodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (inodes.0 == generation).then(|| inodes.1.get(identity).copied()).flatten()
    }

    /// Remembers what was judged; what belongs to an older generation is forgotten, or ignored when it comes late.
    pub(super) fn remember(&self, identity: Identity, known: Known) {
        let generation = known.basis.generation();
        let mut inodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generation < inodes.0 {
            return;
        }
        if generation > inodes.0 || inodes.1.len() >= INODES_MAX {
            inodes.0 = generation;
            inodes.1.clear();
        }
        inodes.1.insert(identity, known);
    }
}

#[cfg(test)]
mod tests {
    use doorward_policy::Sha256;

    use super::*;
    use crate::identify::FilesystemId;
    use crate::judge::tests::TestRoot;

    fn identity(inode: u64) -> Identity {
        Identity { filesystem: FilesystemId(1), inode, changed_ns: 0, size: 1 }
    }

    #[test]
    fn an_answer_holds_for_its_generation_and_its_inode() {
        let (warm, host) = (Warm::default(), TestRoot::new());
        let known =
            || Known { basis: host.judge.basis(&Sha256::new([1; 32])), answer: Answer::Allow, matters: false, only_root_writes: true };
        let first = known();
        warm.remember(identity(1), first);
        let generation = host.judge.generation();
        assert_eq!(warm.known(generation, &identity(1)), Some(first));
        assert_eq!(warm.known(generation, &identity(2)), None);
        host.turn_over();
        let later = host.judge.generation();
        assert_eq!(warm.known(later, &identity(1)), None);
        let second = known();
        warm.remember(identity(2), second);
        assert_eq!((warm.known(later, &identity(1)), warm.known(later, &identity(2))), (None, Some(second)));
        warm.remember(identity(3), first);
        assert_eq!(warm.known(later, &identity(3)), None, "judged by what no longer counts");
    }

    #[test]
    fn only_what_is_allowed_unremarkable_and_roots_is_silent() {
        let basis = TestRoot::new().judge.basis(&Sha256::new([1; 32]));
        let known = Known { basis, answer: Answer::Allow, matters: false, only_root_writes: true };
        assert!(known.is_silent());
        assert!(!Known { answer: Answer::Deny, ..known }.is_silent());
        assert!(!Known { matters: true, ..known }.is_silent());
        assert!(!Known { only_root_writes: false, ..known }.is_silent());
    }

    #[test]
    fn room_is_bounded() {
        let (warm, host) = (Warm::default(), TestRoot::new());
        let basis = host.judge.basis(&Sha256::new([1; 32]));
        for inode in 0..=INODES_MAX as u64 {
            warm.remember(identity(inode), Known { basis, answer: Answer::Allow, matters: false, only_root_writes: true });
        }
        assert_eq!(warm.0.lock().unwrap().1.len(), 1);
    }
}
