//! Keys of the queue tree. Sequences come first, big-endian, so that sled's order is theirs; what is held back for counting sorts
//! behind all of them. Long values lie in parts under consecutive keys.

use super::collapse;
use super::limit::VALUE_PART_BYTES;

/// First byte of keys of held reports. Sequences stay below 2^63, so none of theirs has it.
pub(super) const HELD: u8 = 0xff;

/// Sequences of one opening of the store; the opening's number stands above them.
const COUNTER_BITS: u32 = 40;

/// Openings before sequences would leave an i64; then a new epoch begins.
pub(super) const OPENINGS_MAX: u64 = 1 << (63 - COUNTER_BITS);

/// The sequence before the first of this opening. No opening reuses a sequence of another, whatever was lost in between.
pub(super) const fn base(opened: u64) -> u64 {
    opened << COUNTER_BITS
}

/// Where a value lies: the part of its keys before the part number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot(Vec<u8>);

impl Slot {
    pub(super) fn queued(sequence: u64) -> Self {
        Self(sequence.to_be_bytes().to_vec())
    }

    pub(super) fn held(key: &collapse::Key) -> Self {
        Self([&[HELD], key.as_slice()].concat())
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.0
    }

    fn part(&self, number: usize) -> Vec<u8> {
        let number = u16::try_from(number).expect("a value of bounded size has fewer than 65,536 parts");
        [self.0.as_slice(), &number.to_be_bytes()].concat()
    }

    /// Puts a value in the place of one of `old_len` bytes (0 for none), wholly or not at all.
    ///
    /// PERF: a sled batch costs an fsync of its own, a plain insert none; nearly all values have one part.
    pub(super) fn put(&self, tree: &sled::Tree, value: &[u8], old_len: usize) -> sled::Result<()> {
        if value.len().max(old_len) <= VALUE_PART_BYTES && !value.is_empty() {
            tree.insert(self.part(0), value)?;
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        self.put_in(&mut batch, value, old_len);
        tree.apply_batch(batch)
    }

    /// Takes a value of `len` bytes away, wholly or not at all.
    pub(super) fn remove(&self, tree: &sled::Tree, len: usize) -> sled::Result<()> {
        if len <= VALUE_PART_BYTES {
            tree.remove(self.part(0))?;
            return Ok(());
        }
        self.put(tree, &[], len)
    }

    /// As [`Slot::put`] with an empty value for none, as part of a larger step.
    pub(super) fn put_in(&self, batch: &mut sled::Batch, value: &[u8], old_len: usize) {
        for (number, part) in value.chunks(VALUE_PART_BYTES).enumerate() {
            batch.insert(self.part(number), part);
        }
        for number in value.len().div_ceil(VALUE_PART_BYTES)..old_len.div_ceil(VALUE_PART_BYTES) {
            batch.remove(self.part(number));
        }
    }

    /// The whole value, or `None` when there is none.
    pub(super) fn read(&self, tree: &sled::Tree) -> sled::Result<Option<Vec<u8>>> {
        let mut value = Vec::new();
        for part in tree.scan_prefix(self.prefix()) {
            value.extend_from_slice(&part?.1);
        }
        Ok((!value.is_empty()).then_some(value))
    }
}

/// The sequence and part number in a key of the queue; `None` for held reports and for anything foreign.
pub(super) fn parse(key: &[u8]) -> Option<(u64, u16)> {
    let (sequence, part) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*sequence), u16::from_be_bytes(part.try_into().ok()?)))
}

/// The collapse key and part number in a key of a held report.
pub(super) fn parse_held(key: &[u8]) -> Option<(collapse::Key, u16)> {
    let (key, part) = key.strip_prefix(&[HELD])?.split_first_chunk()?;
    Some((*key, u16::from_be_bytes(part.try_into().ok()?)))
}

/// The key of one part of a queued value, for tests that write behind the store's back.
#[cfg(test)]
pub(super) fn tests_part(sequence: u64, part: usize) -> Vec<u8> {
    Slot::queued(sequence).part(part)
}
