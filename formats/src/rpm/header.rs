//! A header as the database keeps it: two numbers, an index of entries of sixteen bytes, and the data they point into; all
//! big-endian. The first entry may say that the following ones are a sealed region: what the package was built with, and
//! what its header signature covers. Entries behind the region were added at installation.

use super::Fault;
use super::tag::{self, Type};

/// Bytes of a header at most. The largest there are describe some hundred thousand files in 30 MB.
pub const HEADER_BYTES_MAX: usize = 64 << 20;

/// Entries of an index at most; rpm's own limit.
const ENTRIES_MAX: usize = 0xffff;
const ENTRY_BYTES: usize = 16;
/// Before the index: numbers of entries and of bytes of data.
const SIZES_BYTES: usize = 8;
/// What a header begins with in a package file, and its signature therefore covers; the database leaves it out.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
const TYPE_BIN: u32 = 7;

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u32,
    kind: u32,
    offset: u32,
    count: u32,
}

/// The sealed part.
#[derive(Debug, Clone, Copy)]
struct Region {
    entries: usize,
    data_bytes: usize,
}

/// One package's header. Nothing in it is believed but that its sizes fit; each value is checked when it is asked for.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
    region: Option<Region>,
}

/// The bytes that a header's signature covers, in order.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    sizes: [u8; SIZES_BYTES],
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// The parts, to be digested one after the other.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 4] {
        [&MAGIC, &self.sizes, self.index, self.data]
    }
}

impl<'a> Header<'a> {
    /// Takes a header as it stands in the database, no byte more and no byte less.
    ///
    /// # Errors
    /// [`Fault::Header`] or [`Fault::TooLarge`].
    pub fn new(blob: &'a [u8]) -> Result<Self, Fault> {
        if blob.len() > HEADER_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        let (entries, rest) = number(blob).ok_or(Fault::Header("shorter than its sizes"))?;
        let (data_bytes, rest) = number(rest).ok_or(Fault::Header("shorter than its sizes"))?;
        let entries = entries as usize;
        if entries == 0 || entries > ENTRIES_MAX {
            return Err(Fault::Header("an index of no or too many entries"));
        }
        let (index, data) = rest.split_at_checked(entries * ENTRY_BYTES).ok_or(Fault::Header("shorter than its index"))?;
        if data.len() != data_bytes as usize {
            return Err(Fault::Header("not as long as it says"));
        }
        let region = region(index, data)?;
        Ok(Self { index, data, region })
    }

    /// What the signature covers; `None` for a header without a sealed part, as very old packages have it.
    #[must_use]
    pub fn sealed(&self) -> Option<Sealed<'a>> {
        let region = self.region?;
        let mut sizes = [0; SIZES_BYTES];
        sizes[..4].copy_from_slice(&(region.entries as u32).to_be_bytes());
        sizes[4..].copy_from_slice(&(region.data_bytes as u32).to_be_bytes());
        Some(Sealed { sizes, index: &self.index[..region.entries * ENTRY_BYTES], data: &self.data[..region.data_bytes] })
    }

    /// Signatures over the sealed part, as OpenPGP packets: of rpm's two tags of old.
    pub fn signatures(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        [tag::RSA_HEADER, tag::DSA_HEADER].into_iter().filter_map(|tag| self.bytes(Place::Anywhere, tag).ok().flatten())
    }

    /// Signatures over the sealed part in base64, as rpm 6 keeps them.
    pub fn encoded_signatures(&self) -> impl Iterator<Item = &'a [u8]> {
        self.texts(Place::Anywhere, tag::OPENPGP).ok().flatten().into_iter().flatten()
    }

    /// Public keys in base64 that the header of a `gpg-pubkey` brings.
    pub fn encoded_keys(&self) -> impl Iterator<Item = &'a [u8]> {
        self.texts(Place::Anywhere, tag::PUBKEYS).ok().flatten().into_iter().flatten()
    }

    /// Single bytes.
    pub(super) fn bytes(&self, place: Place, tag: u32) -> Result<Option<&'a [u8]>, Fault> {
        let Some((entry, data)) = self.find(place, tag) else { return Ok(None) };
        match Type::of(entry.kind) {
            Some(Type::Bytes) => entry.slice(data, 1).map(Some),
            _ => Err(Fault::Tag(tag)),
        }
    }

    /// Numbers of any width.
    pub(super) fn numbers(&self, place: Place, tag: u32) -> Result<Option<Numbers<'a>>, Fault> {
        let Some((entry, data)) = self.find(place, tag) else { return Ok(None) };
        let width = match Type::of(entry.kind) {
            Some(Type::Bytes) => 1,
            Some(Type::Numbers(width)) => width,
            _ => return Err(Fault::Tag(tag)),
        };
        Ok(Some(Numbers { bytes: entry.slice(data, width)?, width }))
    }

    /// One text; the first of several translations.
    pub(super) fn text(&self, place: Place, tag: u32) -> Result<Option<&'a [u8]>, Fault> {
        let Some((entry, data)) = self.find(place, tag) else { return Ok(None) };
        match Type::of(entry.kind) {
            Some(Type::Text | Type::Texts) => {
                let mut texts = Strings { left: 1, rest: entry.from(data)? };
                texts.next().map(Some).ok_or(Fault::Tag(tag))
            }
            _ => Err(Fault::Tag(tag)),
        }
    }

    /// All texts.
    pub(super) fn texts(&self, place: Place, tag: u32) -> Result<Option<Strings<'a>>, Fault> {
        let Some((entry, data)) = self.find(place, tag) else { return Ok(None) };
        match Type::of(entry.kind) {
            Some(Type::Text | Type::Texts) => Ok(Some(Strings { left: entry.count as usize, rest: entry.from(data)? })),
            _ => Err(Fault::Tag(tag)),
        }
    }

    /// SECURITY: a sealed entry's value must lie in the sealed data too: an index that is signed could otherwise be made to
    /// point at bytes that are not.
    fn find(&self, place: Place, tag: u32) -> Option<(Entry, &'a [u8])> {
        let entries = || self.index.chunks_exact(ENTRY_BYTES).map(Entry::of);
        let Some(region) = self.region else { return entries().find(|entry| entry.tag == tag).map(|entry| (entry, self.data)) };
        let sealed = || entries().take(region.entries).find(|entry| entry.tag == tag).map(|entry| (entry, &self.data[..region.data_bytes]));
        let added = || entries().skip(region.entries).find(|entry| entry.tag == tag).map(|entry| (entry, self.data));
        match place {
            Place::Sealed => sealed(),
            Place::Anywhere => added().or_else(sealed),
        }
    }
}

/// Where a value may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the sealed part, where there is one.
    Sealed,
    /// Also among what was added, which then counts, as for rpm itself.
    Anywhere,
}

fn region(index: &[u8], data: &[u8]) -> Result<Option<Region>, Fault> {
    let first = Entry::of(index);
    if first.tag != tag::IMMUTABLE {
        return Ok(None);
    }
    let fault = Fault::Header("a sealed part that does not end where it says");
    let end = (first.offset as usize).saturating_add(ENTRY_BYTES);
    let Some(trailer) = data.get(first.offset as usize..end).map(Entry::of) else { return Err(fault) };
    // The trailer says how long the region's index is, as a negative offset.
    let index_bytes = trailer.offset.wrapping_neg() as usize;
    let is_whole = first.kind == TYPE_BIN && first.count as usize == ENTRY_BYTES && trailer.kind == TYPE_BIN;
    if !is_whole || index_bytes == 0 || !index_bytes.is_multiple_of(ENTRY_BYTES) || index_bytes > index.len() {
        return Err(fault);
    }
    Ok(Some(Region { entries: index_bytes / ENTRY_BYTES, data_bytes: end }))
}

impl Entry {
    fn of(bytes: &[u8]) -> Self {
        let field = |at: usize| number(&bytes[at * 4..]).map_or(0, |(value, _)| value);
        Self { tag: field(0), kind: field(1), offset: field(2), count: field(3) }
    }

    fn from<'a>(&self, data: &'a [u8]) -> Result<&'a [u8], Fault> {
        data.get(self.offset as usize..).ok_or(Fault::Tag(self.tag))
    }

    fn slice<'a>(&self, data: &'a [u8], width: usize) -> Result<&'a [u8], Fault> {
        let bytes = (self.count as usize).checked_mul(width).ok_or(Fault::Tag(self.tag))?;
        self.from(data)?.get(..bytes).ok_or(Fault::Tag(self.tag))
    }
}

/// Texts of one tag in order; ends early when the data does.
#[derive(Debug, Clone, Default)]
pub struct Strings<'a> {
    left: usize,
    rest: &'a [u8],
}

impl Strings<'_> {
    /// How many there should be.
    #[must_use]
    pub const fn expected(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(text)
    }
}

/// Numbers of one tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl Numbers<'_> {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    pub(super) fn at(&self, place: usize) -> Option<u64> {
        let bytes = self.bytes.get(place * self.width..(place + 1) * self.width)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(value, rest)| (u32::from_be_bytes(*value), rest))
}
