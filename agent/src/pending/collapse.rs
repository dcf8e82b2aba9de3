//! Counting instead of repeating: what is the same occurrence again, and where its count is at the moment.
//!
//! A report that was handed out may be on the CMS's disk already, and would be thrown away there as a repeat if it came again with
//! a higher count. So it never changes any more: further executions are counted in a report that is held back until the minute is
//! over. Only memory knows the windows; at start every report counts as handed out, and what was held is released.

use std::collections::{HashMap, VecDeque};

use super::limit::{COLLAPSE_WINDOW_US, COLLAPSE_WINDOWS_MAX};
use super::record::Record;

/// What makes two occurrences the same; a digest, so that keys have one length whatever the path.
pub(super) type Key = [u8; 32];

/// How another occurrence joins an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// Never: every report stands for itself.
    Not,
    /// The count rises. Once handed out, further ones wait for the end of the minute.
    Count,
    /// The newer state takes the older one's place, as long as that was not handed out.
    Replace,
}

impl Join {
    pub(super) fn of(record: &Record) -> Self {
        match record {
            Record::Observation(observed) if observed.is_execution() => Self::Count,
            Record::Denial(_) | Record::Unjudged(_) => Self::Count,
            // What was done to a process must not be forgotten over what came later.
            Record::Turned(turned) if turned.tells_of_a_kill() => Self::Not,
            Record::Coverage(_) | Record::Health(_) | Record::Turned(_) => Self::Replace,
            // A scan meets a path once, so a window for each of its findings would never be looked into: 10 MiB for 65,536 of them. The
            // parts of one inventory belong together and in order.
            Record::Observation(_) | Record::Inventory(_) | Record::Closure(_) => Self::Not,
        }
    }
}

/// The key of a record that may be joined: kind, file, path, user, and whatever else the CMS must not see mixed.
pub(super) fn key(record: &Record) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key("doorward agent 2026 pending collapse");
    match record {
        Record::Coverage(_) => hasher.update(b"coverage"),
        Record::Health(_) => hasher.update(b"health"),
        Record::Inventory(_) => hasher.update(b"inventory"),
        Record::Turned(turned) => hasher.update(b"turned").update(&turned.file),
        Record::Denial(_) => hasher.update(b"denial"),
        Record::Observation(_) => hasher.update(b"observation"),
        Record::Unjudged(_) => hasher.update(b"unjudged"),
        Record::Closure(_) => hasher.update(b"closure"),
    };
    if let Record::Denial(denied) = record {
        let identity = (denied.row, denied.undecided, denied.fate);
        hasher.update(&postcard::to_allocvec(&identity).unwrap_or_default());
    }
    if let Record::Unjudged(unjudged) = record {
        let identity = (&unjudged.path, &unjudged.reason, unjudged.fate, unjudged.process.uid);
        hasher.update(&postcard::to_allocvec(&identity).unwrap_or_default());
    }
    if let Some(observed) = record.observed() {
        let uid = observed.process.as_ref().map(|process| process.uid);
        let identity = (&observed.file.sha256, &observed.path, &observed.usage, &observed.scan, &observed.evidence, uid);
        // Infallible in practice; an unserialisable key would only mean that two reports share a count.
        hasher.update(&postcard::to_allocvec(&identity).unwrap_or_default());
    }
    *hasher.finalize().as_bytes()
}

/// Where the count of something is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue, under this sequence.
    Queued(u64),
    /// Held back under its key.
    Held,
}

/// The minutes that are open.
#[derive(Debug, Default)]
pub(super) struct Windows {
    open: HashMap<Key, (i64, Place)>,
    order: VecDeque<(i64, Key)>,
}

impl Windows {
    pub(super) fn place(&self, key: &Key) -> Option<Place> {
        self.open.get(key).map(|(_, place)| *place)
    }

    /// Opens a window, or moves the count of an open one, whose end stays.
    pub(super) fn set(&mut self, key: Key, place: Place, now: i64) {
        if let Some((_, old)) = self.open.get_mut(&key) {
            *old = place;
        } else if self.open.len() < COLLAPSE_WINDOWS_MAX {
            self.open.insert(key, (now, place));
            self.order.push_back((now, key));
        }
    }

    /// Closes the oldest window if its minute is over, or if the clock was set back and it would stay open for ever.
    pub(super) fn close_next(&mut self, now: i64) -> Option<(Key, Place)> {
        let (opened_at, key) = *self.order.front()?;
        if (opened_at..opened_at.saturating_add(COLLAPSE_WINDOW_US)).contains(&now) {
            return None;
        }
        self.order.pop_front();
        self.open.remove(&key).map(|(_, place)| (key, place))
    }

    /// When the oldest window closes.
    pub(super) fn next_close(&self) -> Option<i64> {
        self.order.front().map(|(opened_at, _)| opened_at.saturating_add(COLLAPSE_WINDOW_US))
    }
}
