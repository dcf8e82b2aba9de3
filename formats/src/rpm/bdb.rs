//! `Packages` of the Berkeley DB (RHEL 8 and its like, and everything older): a hash table of pages, keyed by the package's
//! number, each header in a chain of overflow pages. Of either byte order; only what an rpm database has of the format is
//! read.

use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use super::{Fault, HEADER_BYTES_MAX};

const HASH_MAGIC: u32 = 0x0006_1561;
const VERSIONS: std::ops::RangeInclusive<u32> = 8..=10;
const META_BYTES: usize = 512;
/// Page numbers of the first bucket of each power of two.
const SPARES: usize = 32;
const PAGE_BYTES_MIN: usize = 512;
const PAGE_BYTES_MAX: usize = 64 * 1024;
const PAGE_HEADER_BYTES: usize = 26;

const PAGE_HASH_UNSORTED: u8 = 2;
const PAGE_OVERFLOW: u8 = 7;
const PAGE_HASH: u8 = 13;

const ITEM_INLINE: u8 = 1;
const ITEM_OVERFLOW: u8 = 3;
const OVERFLOW_ITEM_BYTES: usize = 12;

/// Which end of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn number(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn short(self, bytes: &[u8], at: usize) -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(usize::from(if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }))
    }
}

/// A database whose first page has been read.
#[derive(Debug)]
pub struct Bdb<F> {
    file: F,
    order: Order,
    page_bytes: usize,
    last_page: u32,
    last_bucket: u32,
    spares: [u32; SPARES],
}

impl<F: Read + Seek> Bdb<F> {
    /// Reads what the first page says of the others.
    ///
    /// # Errors
    /// [`Fault::Database`] for another file or another kind of table.
    pub fn open(mut file: F) -> Result<Self, Fault> {
        let bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut meta = [0; META_BYTES];
        file.read_exact(&mut meta)?;
        let order = [Order::Little, Order::Big].into_iter().find(|order| order.number(&meta, 12) == Some(HASH_MAGIC));
        let order = order.ok_or(Fault::Database("no hash table of a Berkeley DB"))?;
        let field = |at| order.number(&meta, at).unwrap_or(0);
        if !VERSIONS.contains(&field(16)) {
            return Err(Fault::Database("a Berkeley DB of an unknown version"));
        }
        let page_bytes = field(20) as usize;
        if !page_bytes.is_power_of_two() || !(PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page_bytes) {
            return Err(Fault::Damaged("no page has such a size"));
        }
        // The table may say more than has been written yet; the file knows better.
        let pages = u32::try_from(bytes / page_bytes as u64).unwrap_or(u32::MAX);
        let last_page = field(32).min(pages.saturating_sub(1));
        let spares = std::array::from_fn(|at| field(96 + at * 4));
        Ok(Self { file, order, page_bytes, last_page, last_bucket: field(72), spares })
    }

    /// Gives out every package newer than `newer_than`, by its number and its header, in the table's order, until told to stop.
    ///
    /// # Errors
    /// At the first page that is not what it should be.
    pub fn each(&mut self, newer_than: u32, mut give: impl FnMut(u32, &[u8]) -> ControlFlow<()>) -> Result<(), Fault> {
        let (mut page, mut overflow, mut blob) = (vec![0; self.page_bytes], vec![0; self.page_bytes], Vec::new());
        // No page belongs to two buckets or two chains, so no more are read than there are, however they are linked.
        let mut pages_left = self.last_page;
        for bucket in 0..=self.last_bucket {
            let mut number = self.first_page(bucket)?;
            while number != 0 {
                self.page(number, &mut page, &mut pages_left)?;
                if !matches!(page[25], PAGE_HASH | PAGE_HASH_UNSORTED) {
                    return Err(Fault::Damaged("a bucket that is no page of the table"));
                }
                for at in (0..self.order.short(&page, 20).unwrap_or(0)).step_by(2) {
                    let (key, value) = (self.item(&page, at)?, self.item(&page, at + 1)?);
                    let package = self.key(key)?;
                    // Number 0 keeps the last number given.
                    if package == 0 || package <= newer_than {
                        continue;
                    }
                    self.value(value, &mut overflow, &mut blob, &mut pages_left)?;
                    if give(package, &blob).is_break() {
                        return Ok(());
                    }
                }
                number = self.order.number(&page, 16).unwrap_or(0);
            }
        }
        Ok(())
    }

    fn first_page(&self, bucket: u32) -> Result<u32, Fault> {
        let power = (u32::BITS - bucket.leading_zeros()) as usize;
        let spare = self.spares.get(power).ok_or(Fault::Damaged("more buckets than there can be"))?;
        bucket.checked_add(*spare).ok_or(Fault::Damaged("more buckets than there can be"))
    }

    fn page(&mut self, number: u32, page: &mut [u8], pages_left: &mut u32) -> Result<(), Fault> {
        *pages_left = pages_left.checked_sub(1).ok_or(Fault::Damaged("pages that lead in a circle"))?;
        if number == 0 || number > self.last_page {
            return Err(Fault::Damaged("a page that is not there"));
        }
        self.file.seek(SeekFrom::Start(u64::from(number) * self.page_bytes as u64))?;
        self.file.read_exact(page)?;
        if self.order.number(page, 8) != Some(number) {
            return Err(Fault::Damaged("a page that goes by another number"));
        }
        Ok(())
    }

    /// Items lie from the end of a page towards its beginning, each up to where the one before it begins.
    fn item<'p>(&self, page: &'p [u8], at: usize) -> Result<&'p [u8], Fault> {
        let start_of = |at: usize| self.order.short(page, PAGE_HEADER_BYTES + at * 2);
        let end = if at == 0 { Some(page.len()) } else { start_of(at - 1) };
        let item = start_of(at).zip(end).and_then(|(start, end)| page.get(start..end));
        item.filter(|item| !item.is_empty()).ok_or(Fault::Damaged("an item outside its page"))
    }

    fn key(&self, item: &[u8]) -> Result<u32, Fault> {
        match item {
            [ITEM_INLINE, key @ ..] if key.len() == 4 => self.order.number(key, 0).ok_or(Fault::Damaged("a key that is no number")),
            _ => Err(Fault::Damaged("a key that is no number")),
        }
    }

    fn value(&mut self, item: &[u8], page: &mut [u8], blob: &mut Vec<u8>, pages_left: &mut u32) -> Result<(), Fault> {
        blob.clear();
        match *item.first().unwrap_or(&0) {
            ITEM_INLINE => blob.extend_from_slice(&item[1..]),
            ITEM_OVERFLOW if item.len() == OVERFLOW_ITEM_BYTES => {
                let (first, length) = (self.order.number(item, 4).unwrap_or(0), self.order.number(item, 8).unwrap_or(0));
                self.chain(first, length as usize, page, blob, pages_left)?;
            }
            _ => return Err(Fault::Damaged("a value that lies neither here nor elsewhere")),
        }
        Ok(())
    }

    fn chain(&mut self, first: u32, length: usize, page: &mut [u8], blob: &mut Vec<u8>, pages_left: &mut u32) -> Result<(), Fault> {
        if length > HEADER_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        let mut number = first;
        while blob.len() < length {
            self.page(number, page, pages_left)?;
            let bytes = self.order.short(page, 22).unwrap_or(0);
            let piece = page.get(PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + bytes);
            match piece.filter(|_| page[25] == PAGE_OVERFLOW) {
                Some(piece) if blob.len() + piece.len() <= length && !piece.is_empty() => blob.extend_from_slice(piece),
                _ => return Err(Fault::Damaged("a chain of pages that does not hold what it should")),
            }
            number = self.order.number(page, 16).unwrap_or(0);
        }
        Ok(())
    }
}
