//! The open store: four sled trees and what is counted about them. Single-threaded; nothing here waits, logs or retries.
//!
//! `queue` holds the reports, `awaiting` the executed files whose verdict has not come (since when), `verdict` the last verdict of each file,
//! `meta` the epoch, the openings and the dropped. Nothing is durable before [`Store::flush`] returned.

use std::collections::VecDeque;

use super::collapse::{self, Join, Place, Windows};
use super::error::{Fault, Recovery};
use super::generation::Generation;
use super::key::{self, HELD, Slot};
use super::limit::{COLLAPSE_WINDOWS_MAX, COMPACT_RATIO, Limits};
use super::record::{Class, Record, Unreadable};

mod file;
mod queue;

pub(super) const TREES: [&str; 4] = [QUEUE, AWAITING, VERDICT, META];
const QUEUE: &str = "pending";
const AWAITING: &str = "awaiting";
const VERDICT: &str = "verdict";
const META: &str = "meta";

const EPOCH: &str = "epoch";
const OPENED: &str = "opened";
const DROPPED: &str = "dropped";

/// A report made ready by its caller's thread, so that the store's thread need not encode.
#[derive(Debug, Clone)]
pub(super) struct Sheet {
    pub(super) record: Record,
    pub(super) value: Vec<u8>,
    pub(super) class: Class,
    pub(super) join: Join,
    pub(super) key: collapse::Key,
}

impl Sheet {
    pub(super) fn new(record: Record) -> Self {
        let class = record.class();
        Self { value: record.encode(class), class, join: Join::of(&record), key: collapse::key(&record), record }
    }
}

/// Numbers kept beside the trees, so that nobody has to walk them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Reports, held ones included.
    pub(super) records: u64,
    /// Bytes of their values.
    pub(super) bytes: u64,
    /// Files whose verdict is awaited.
    pub(super) awaiting: u64,
    /// Files with a verdict.
    pub(super) verdicts: u64,
    /// Reports given up since the store was made.
    pub(super) dropped: u64,
}

pub(super) struct Store {
    db: sled::Db,
    queue: sled::Tree,
    awaiting: sled::Tree,
    verdict: sled::Tree,
    meta: sled::Tree,
    limits: Limits,
    generation: Generation,
    tally: Tally,
    windows: Windows,
    /// Sequences of reports that may be dropped for more important ones, oldest first; acknowledged ones leave lazily.
    expendable: VecDeque<u64>,
    /// The sequence given last.
    last: u64,
    /// Everything up to here may have been handed out.
    handed_out: u64,
    unreadable: Option<(u64, String)>,
}

impl Store {
    /// The generation noted inside a store, `None` when it holds none: it is new, or it came back empty.
    pub(super) fn inner_generation(db: &sled::Db) -> sled::Result<Option<Generation>> {
        let meta = db.open_tree(META)?;
        let Some(epoch) = meta.get(EPOCH)?.and_then(|bytes| bytes.as_ref().try_into().ok()) else {
            return Ok(None);
        };
        Ok(Some(Generation { epoch, opened: number(&meta, OPENED)? }))
    }

    /// Takes an opened database into use under a generation it has not had before, and notes that in it.
    pub(super) fn load(db: sled::Db, generation: Generation, limits: Limits) -> Result<Self, Fault> {
        let [queue, awaiting, verdict, meta] = TREES.map(|name| db.open_tree(name));
        let (queue, awaiting, verdict, meta) = (queue?, awaiting?, verdict?, meta?);
        let base = key::base(generation.opened);
        let tally =
            Tally { awaiting: awaiting.len() as u64, verdicts: verdict.len() as u64, dropped: number(&meta, DROPPED)?, ..Tally::default() };
        let mut store = Self {
            db,
            queue,
            awaiting,
            verdict,
            meta,
            limits,
            generation,
            tally,
            windows: Windows::default(),
            expendable: VecDeque::new(),
            last: base,
            handed_out: base,
            unreadable: None,
        };
        store.count_queue()?;
        store.note_generation(generation)?;
        store.release_all()?;
        store.handed_out = store.last;
        store.flush()?;
        Ok(store)
    }

    pub(super) const fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Highest sequence given so far; at least the base of this opening.
    pub(super) const fn last_sequence(&self) -> u64 {
        self.last
    }

    /// Writes the generation into the store. Not durable before the next flush.
    pub(super) fn note_generation(&mut self, generation: Generation) -> Result<(), Fault> {
        let mut batch = sled::Batch::default();
        batch.insert(EPOCH, &generation.epoch);
        batch.insert(OPENED, &generation.opened.to_be_bytes());
        self.meta.apply_batch(batch)?;
        self.generation = generation;
        Ok(())
    }

    /// Puts everything so far on the disk.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        self.db.flush()?;
        Ok(())
    }

    pub(super) fn disk_bytes(&self) -> sled::Result<u64> {
        self.db.size_on_disk()
    }

    /// Whether so much of the disk is dead weight that writing everything anew is worth it.
    pub(super) fn wants_compaction(&self) -> sled::Result<bool> {
        let disk = self.disk_bytes()?;
        let rows = (self.tally.awaiting + self.tally.verdicts + self.tally.records) * ROW_BYTES;
        Ok(disk > self.limits.compact_bytes_min && disk / COMPACT_RATIO > self.tally.bytes + rows)
    }

    /// What could not be read since this was asked last.
    pub(super) fn take_unreadable(&mut self) -> Option<Recovery> {
        self.unreadable.take().map(|(count, why)| Recovery::Unreadable { count, why })
    }

    fn count_queue(&mut self) -> Result<(), Fault> {
        for row in &self.queue {
            let (key, value) = row?;
            self.tally.bytes += value.len() as u64;
            match key::parse(&key) {
                Some((sequence, 0)) => {
                    self.tally.records += 1;
                    self.last = self.last.max(sequence);
                    if Class::of_value(&value) == Class::Expendable {
                        self.expendable.push_back(sequence);
                    }
                }
                None if matches!(key::parse_held(&key), Some((_, 0))) => self.tally.records += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Queues everything that was held back when the store was closed.
    fn release_all(&mut self) -> Result<(), Fault> {
        let mut keys = Vec::new();
        for row in self.queue.scan_prefix([HELD]).keys() {
            match key::parse_held(&row?) {
                Some((key, 0)) if keys.len() < COLLAPSE_WINDOWS_MAX => keys.push(key),
                _ => {}
            }
        }
        keys.iter().try_for_each(|key| self.release(key))
    }

    fn drop_unreadable(&mut self, slot: &Slot, len: usize, why: &Unreadable) -> Result<(), Fault> {
        slot.remove(&self.queue, len)?;
        self.forget(len);
        let (count, _) = self.unreadable.get_or_insert_with(|| (0, why.to_string()));
        *count += 1;
        self.count_dropped(1)
    }

    fn forget(&mut self, len: usize) {
        self.tally.records = self.tally.records.saturating_sub(1);
        self.tally.bytes = self.tally.bytes.saturating_sub(len as u64);
    }

    fn count_dropped(&mut self, count: u64) -> Result<(), Fault> {
        self.tally.dropped += count;
        self.meta.insert(DROPPED, &self.tally.dropped.to_be_bytes())?;
        Ok(())
    }
}

/// What a row of the small trees takes, keys and sled's own bytes included, roughly.
const ROW_BYTES: u64 = 100;

fn number(tree: &sled::Tree, name: &str) -> sled::Result<u64> {
    let bytes = tree.get(name)?.and_then(|bytes| bytes.as_ref().try_into().ok());
    Ok(bytes.map_or(0, u64::from_be_bytes))
}
