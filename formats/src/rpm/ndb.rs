//! `Packages.db`, rpm's own format (SUSE): pages of slots at the beginning, one slot a package, each pointing at a blob of
//! blocks of sixteen bytes that begins and ends with its size and a mark, and holds an Adler-32 of itself. Little-endian.

use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use super::{Fault, HEADER_BYTES_MAX};

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const VERSION: u32 = 0;
const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"Slot");
const BLOB_START: u32 = u32::from_le_bytes(*b"BlbS");
const BLOB_END: u32 = u32::from_le_bytes(*b"BlbE");

const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 16;
const BLOCK_BYTES: u64 = 16;
/// The file's own header stands where the first two slots would.
const HEADER_BYTES: usize = 32;
const BLOB_HEAD_BYTES: usize = 16;
const BLOB_TAIL_BYTES: usize = 12;

/// Pages of slots at most: a quarter of a million packages.
const SLOT_PAGES_MAX: u32 = 1024;

/// Modulus of Adler-32, and how many bytes may be added up before it has to be taken.
const ADLER_MODULUS: u32 = 65_521;
const ADLER_BYTES_AT_ONCE: usize = 5552;

#[derive(Debug, Clone, Copy)]
struct Slot {
    package: u32,
    block: u32,
    blocks: u32,
}

/// A database whose slots have been read.
#[derive(Debug)]
pub struct Ndb<F> {
    file: F,
    generation: u32,
    slots: Vec<Slot>,
}

impl<F: Read + Seek> Ndb<F> {
    /// Reads the slots.
    ///
    /// # Errors
    /// [`Fault::Database`] for another file, [`Fault::Damaged`] for one caught in the middle of a change.
    pub fn open(mut file: F) -> Result<Self, Fault> {
        let blocks = file.seek(SeekFrom::End(0))? / BLOCK_BYTES;
        file.seek(SeekFrom::Start(0))?;
        let mut page = [0; PAGE_BYTES];
        file.read_exact(&mut page)?;
        if number(&page, 0) != MAGIC || number(&page, 4) != VERSION {
            return Err(Fault::Database("neither NDB nor of its only version"));
        }
        let (generation, pages) = (number(&page, 8), number(&page, 12));
        if pages == 0 || pages > SLOT_PAGES_MAX {
            return Err(Fault::Damaged("no or too many pages of slots"));
        }
        let first_block = u64::from(pages) * (PAGE_BYTES as u64 / BLOCK_BYTES);
        let mut slots = Vec::new();
        for number in 0..pages {
            if number > 0 {
                file.read_exact(&mut page)?;
            }
            let start = if number == 0 { HEADER_BYTES } else { 0 };
            for slot in page[start..].chunks_exact(SLOT_BYTES) {
                slots.extend(Slot::read(slot, first_block, blocks)?);
            }
        }
        // No two share a block, so no more is read than there is.
        slots.sort_unstable_by_key(|slot| slot.block);
        if slots.windows(2).any(|pair| u64::from(pair[0].block) + u64::from(pair[0].blocks) > u64::from(pair[1].block)) {
            return Err(Fault::Damaged("blobs that overlap"));
        }
        slots.sort_unstable_by_key(|slot| slot.package);
        Ok(Self { file, generation, slots })
    }

    /// Rises with every change; the same before and after reading means that nothing changed in between.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Gives out every package newer than `newer_than`, by its number and its header, in the order of their numbers, until told
    /// to stop.
    ///
    /// # Errors
    /// At the first blob that is not whole.
    pub fn each(&mut self, newer_than: u32, mut give: impl FnMut(u32, &[u8]) -> ControlFlow<()>) -> Result<(), Fault> {
        let mut blob = Vec::new();
        for at in 0..self.slots.len() {
            let slot = self.slots[at];
            if slot.package > newer_than {
                self.read(slot, &mut blob)?;
                if give(slot.package, &blob[BLOB_HEAD_BYTES..]).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Leaves the blob's head and its content in `blob`.
    fn read(&mut self, slot: Slot, blob: &mut Vec<u8>) -> Result<(), Fault> {
        let bytes = u64::from(slot.blocks) * BLOCK_BYTES;
        if bytes > (HEADER_BYTES_MAX + BLOB_HEAD_BYTES + BLOB_TAIL_BYTES) as u64 {
            return Err(Fault::TooLarge);
        }
        self.file.seek(SeekFrom::Start(u64::from(slot.block) * BLOCK_BYTES))?;
        blob.clear();
        // No more than there is, whatever the slot says: its blocks were found to lie in the file.
        (&mut self.file).take(bytes).read_to_end(blob)?;
        if blob.len() as u64 != bytes || blob.len() < BLOB_HEAD_BYTES + BLOB_TAIL_BYTES {
            return Err(Fault::Damaged("a blob that is cut short"));
        }
        let length = number(blob, 12) as usize;
        let tail = blob.len() - BLOB_TAIL_BYTES;
        let fits = (BLOB_HEAD_BYTES + BLOB_TAIL_BYTES + length).div_ceil(BLOCK_BYTES as usize) == slot.blocks as usize;
        let is_whole = number(blob, 0) == BLOB_START
            && number(blob, 4) == slot.package
            && fits
            && number(blob, tail) == adler32(&blob[..tail])
            && number(blob, tail + 4) as usize == length
            && number(blob, tail + 8) == BLOB_END;
        if !is_whole {
            return Err(Fault::Damaged("a blob with a wrong head, tail or checksum"));
        }
        blob.truncate(BLOB_HEAD_BYTES + length);
        Ok(())
    }
}

impl Slot {
    fn read(slot: &[u8], first_block: u64, end: u64) -> Result<Option<Self>, Fault> {
        let (package, block, blocks) = (number(slot, 4), number(slot, 8), number(slot, 12));
        if number(slot, 0) != SLOT_MAGIC {
            return Err(Fault::Damaged("a slot without its mark"));
        }
        if block == 0 {
            return Ok(None);
        }
        let is_inside = u64::from(block) >= first_block && u64::from(block) + u64::from(blocks) <= end;
        if package == 0 || blocks == 0 || !is_inside {
            return Err(Fault::Damaged("a slot that points outside"));
        }
        Ok(Some(Self { package, block, blocks }))
    }
}

/// Little-endian; 0 behind the end.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1, 0);
    for piece in bytes.chunks(ADLER_BYTES_AT_ONCE) {
        for byte in piece {
            low += u32::from(*byte);
            high += low;
        }
        low %= ADLER_MODULUS;
        high %= ADLER_MODULUS;
    }
    high << 16 | low
}
