//! Lines of things to do, one for each user, served in turn: whoever brings thousands waits behind himself, not others behind him.

use std::collections::{HashMap, VecDeque};

/// Whose line is next is the one served longest ago.
#[derive(Debug)]
pub(super) struct Turns<T> {
    lines: HashMap<u32, VecDeque<T>>,
    /// Users with something in their line, each once.
    next: VecDeque<u32>,
    items: usize,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { lines: HashMap::new(), next: VecDeque::new(), items: 0 }
    }
}

impl<T> Turns<T> {
    /// Things in all lines.
    pub(super) const fn len(&self) -> usize {
        self.items
    }

    /// Puts one at the end of its user's line.
    pub(super) fn push(&mut self, user: u32, item: T) {
        let line = self.lines.entry(user).or_default();
        if line.is_empty() {
            self.next.push_back(user);
        }
        line.push_back(item);
        self.items += 1;
    }

    /// Takes the first of the next user.
    pub(super) fn pop(&mut self) -> Option<T> {
        let user = self.next.pop_front()?;
        let line = self.lines.get_mut(&user)?;
        let item = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&user);
        } else {
            self.next.push_back(user);
        }
        self.items -= usize::from(item.is_some());
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_take_turns_however_long_their_lines_are() {
        let mut turns = Turns::default();
        for (user, item) in [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (3, 31)] {
            turns.push(user, item);
        }
        assert_eq!(turns.len(), 6);
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(order, [10, 20, 30, 11, 31, 12]);
        assert_eq!(turns.len(), 0);
    }
}
