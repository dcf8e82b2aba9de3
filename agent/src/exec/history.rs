//! What was executed here lately: which paths and inodes a file was met at and when, so that a file that turns bad is found at once.
//!
//! Bounded; the files not executed for longest are forgotten first. Holds no descriptor and decides nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_policy::{Evidence, PathBytes, Sha256};

use crate::identify::Identity;
use crate::judge::Trouble;

/// Files remembered; at some 500 bytes each this stays below 5 MiB.
const FILES_MAX: usize = 8192;
/// Paths remembered of one file.
const PATHS_MAX: usize = 8;
/// Inodes remembered of one file.
const IDENTITIES_MAX: usize = 8;
/// Files forgotten at once when there is no more room, so that making room is rare.
const FORGOTTEN_AT_ONCE: usize = FILES_MAX / 16;
/// Files judged again before anybody who remembers an execution gets his turn.
const JUDGED_AT_ONCE: usize = 64;

/// One execution, as far as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Where it was met, the latest last.
    pub paths: Vec<PathBytes>,
    /// Inodes it was met in.
    pub identities: Vec<Identity>,
    /// What the host proved of it, the last time.
    pub evidence: Evidence,
    /// Microseconds since 1970, UTC.
    pub last_executed_at: i64,
    /// How bad it was when everything here was last judged.
    pub trouble: Trouble,
}

/// What there is to remember of one execution.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    /// The file.
    pub file: Sha256,
    /// The inode it was met in.
    pub identity: Identity,
    /// Where it was met.
    pub path: &'a PathBytes,
    /// What the host proved of it.
    pub evidence: &'a Evidence,
    /// Microseconds since 1970, UTC.
    pub executed_at: i64,
    /// As it was judged.
    pub trouble: Trouble,
}

/// Files executed here. Shared by reference.
#[derive(Debug, Default)]
pub struct History(Mutex<HashMap<Sha256, Executed>>);

impl History {
    /// Remembers an execution.
    pub fn note(&self, note: Note<'_>) {
        let mut files = self.lock();
        if let Some(known) = files.get_mut(&note.file) {
            known.last_executed_at = known.last_executed_at.max(note.executed_at);
            remember(&mut known.paths, note.path, PATHS_MAX);
            remember(&mut known.identities, &note.identity, IDENTITIES_MAX);
            known.evidence.clone_from(note.evidence);
            // SECURITY: an execution of what turned bad a moment ago must not make it look as if that were known: nobody would look for
            // the processes that ran it before.
            known.trouble = known.trouble.min(note.trouble);
            return;
        }
        if files.len() >= FILES_MAX {
            forget_oldest(&mut files);
        }
        let executed = Executed {
            paths: vec![note.path.clone()],
            identities: vec![note.identity],
            evidence: note.evidence.clone(),
            last_executed_at: note.executed_at,
            trouble: note.trouble,
        };
        files.insert(note.file, executed);
    }

    /// Judges every remembered file again and gives those that are worse than before.
    pub fn judge_again(&self, judge: impl Fn(&Sha256, &Executed) -> Trouble) -> Vec<(Sha256, Executed)> {
        let mut turned = Vec::new();
        let files: Vec<Sha256> = self.lock().keys().copied().collect();
        for some in files.chunks(JUDGED_AT_ONCE) {
            // PERF: whoever answers executions remembers them here. All at once are some 5 ms for him to wait.
            let mut remembered = self.lock();
            for file in some {
                let Some(executed) = remembered.get_mut(file) else { continue };
                let before = executed.trouble;
                executed.trouble = judge(file, executed);
                if executed.trouble > before {
                    turned.push((*file, executed.clone()));
                }
            }
        }
        turned
    }

    /// What is remembered of a file.
    #[must_use]
    pub fn of(&self, file: &Sha256) -> Option<Executed> {
        self.lock().get(file).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sha256, Executed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends, or moves to the end what is there already; the oldest goes when there are too many.
fn remember<T: Clone + PartialEq>(list: &mut Vec<T>, item: &T, items_max: usize) {
    if list.last() == Some(item) {
        return;
    }
    list.retain(|known| known != item);
    if list.len() >= items_max {
        list.remove(0);
    }
    list.push(item.clone());
}

fn forget_oldest(files: &mut HashMap<Sha256, Executed>) {
    let mut times: Vec<i64> = files.values().map(|executed| executed.last_executed_at).collect();
    let (_, limit, _) = times.select_nth_unstable(FORGOTTEN_AT_ONCE);
    let limit = *limit;
    files.retain(|_, executed| executed.last_executed_at > limit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::FilesystemId;

    fn identity(inode: u64) -> Identity {
        Identity { filesystem: FilesystemId(1), inode, changed_ns: 0, size: 1 }
    }

    fn file(number: u32) -> Sha256 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Sha256::new(bytes)
    }

    /// An execution of a file with this number, in this inode, at this path and time.
    fn note(history: &History, number: u32, inode: u64, path: &PathBytes, executed_at: i64) {
        let evidence = Evidence::default();
        let note = Note { file: file(number), identity: identity(inode), path, evidence: &evidence, executed_at, trouble: Trouble::None };
        history.note(note);
    }

    #[test]
    fn a_file_is_remembered_with_its_paths_and_last_execution() {
        let history = History::default();
        let (one, two) = (PathBytes::new(*b"/one"), PathBytes::new(*b"/two"));
        note(&history, 1, 1, &one, 10);
        note(&history, 1, 2, &two, 30);
        note(&history, 1, 1, &one, 20);
        let executed = history.of(&file(1)).unwrap();
        assert_eq!(executed.paths, [two, one]);
        assert_eq!(executed.last_executed_at, 30);
        assert_eq!(executed.identities, [identity(2), identity(1)]);
        assert_eq!(history.of(&file(2)), None);
    }

    #[test]
    fn a_file_that_turns_bad_is_given_once() {
        let history = History::default();
        note(&history, 1, 1, &PathBytes::new(*b"/one"), 10);
        note(&history, 2, 2, &PathBytes::new(*b"/two"), 10);
        let turned = |trouble: Trouble| {
            let turned = history.judge_again(|sha256, _| if *sha256 == file(2) { trouble } else { Trouble::None });
            turned.into_iter().map(|(file, _)| file).collect::<Vec<_>>()
        };
        assert_eq!(turned(Trouble::None), []);
        assert_eq!(turned(Trouble::Denied), [file(2)]);
        assert_eq!(turned(Trouble::Denied), [], "told already");
        assert_eq!(turned(Trouble::None), []);
        assert_eq!(turned(Trouble::Threat), [file(2)], "turned again");
        assert_eq!(turned(Trouble::Denied), [file(2)], "and may no longer run either");
        assert_eq!(turned(Trouble::Threat), []);
    }

    #[test]
    fn an_execution_of_what_turned_bad_a_moment_ago_does_not_hide_that_it_turned() {
        let history = History::default();
        let path = PathBytes::new(*b"/one");
        note(&history, 1, 1, &path, 10);
        let evidence = Evidence::default();
        let refused =
            Note { file: file(1), identity: identity(1), path: &path, evidence: &evidence, executed_at: 20, trouble: Trouble::Denied };
        history.note(refused);
        assert_eq!(history.judge_again(|_, _| Trouble::Denied).len(), 1);
        history.note(refused);
        assert_eq!(history.judge_again(|_, _| Trouble::Denied).len(), 0);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let history = History::default();
        let path = PathBytes::new(*b"/x");
        let count = u32::try_from(FILES_MAX).unwrap() + 1;
        for number in 0..count {
            note(&history, number, 1, &path, i64::from(number));
        }
        assert!(history.lock().len() <= FILES_MAX);
        assert_eq!(history.of(&file(0)), None);
        assert!(history.of(&file(count - 1)).is_some());
        for number in 0..100 {
            note(&history, 7_000, number, &PathBytes::new(number.to_string()), 9_999_999);
        }
        let executed = history.of(&file(7_000)).unwrap();
        assert_eq!((executed.paths.len(), executed.identities.len()), (PATHS_MAX, IDENTITIES_MAX));
    }
}
