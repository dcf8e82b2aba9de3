//! Kernel modules: a detached PKCS#7 structure, a trailer and a mark behind the object.

use super::cms::{Content, Signed, SignedData};
use super::digest::Digester;
use super::fault::{Fault, Part};
use super::{SIGNED_DATA_BYTES_MAX, holds_archive_end};
use crate::module::SIGNATURE_MARK;
use crate::source::Source;

/// `struct module_signature`: algorithm, digest and kind of id (1 each), lengths of name and id (1 each), padding (3), length (4).
const TRAILER_BYTES: usize = 12;

/// The only kind of id the kernel takes.
const PKCS7: u8 = 2;

/// Bytes digested at a time.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) fn read(source: &mut impl Source) -> Result<Vec<Signed>, Fault> {
    let malformed = Fault::Malformed(Part::ModuleTrailer);
    let size = source.size()?;
    let Some(mark_at) = size.checked_sub(SIGNATURE_MARK.len() as u64) else { return Err(Fault::Unsigned) };
    if source.array(mark_at)? != Some(*SIGNATURE_MARK) {
        return Err(Fault::Unsigned);
    }
    let trailer_at = mark_at.checked_sub(TRAILER_BYTES as u64).ok_or(malformed)?;
    let trailer = source.array::<TRAILER_BYTES>(trailer_at)?.ok_or(malformed)?;
    if trailer[2] != PKCS7 {
        return Err(Fault::Unsupported(Part::ModuleTrailer));
    }
    // As the kernel has it: all else is zero.
    if [0, 1, 3, 4, 5, 6, 7].iter().any(|at| trailer[*at] != 0) {
        return Err(malformed);
    }
    let length = u32::from_be_bytes([trailer[8], trailer[9], trailer[10], trailer[11]]) as usize;
    if length > SIGNED_DATA_BYTES_MAX {
        return Err(Fault::TooLarge(Part::SignedData));
    }
    let object_bytes = trailer_at.checked_sub(length as u64).ok_or(malformed)?;
    let mut structure = vec![0; length];
    if source.read_at(object_bytes, &mut structure)? < length {
        return Err(Fault::Unread);
    }
    if holds_archive_end(&structure) {
        return Err(Fault::Ambiguous(Part::ModuleTrailer));
    }
    let (data, rest) = SignedData::read(&structure)?;
    if !rest.is_empty() {
        return Err(Fault::Incomplete(Part::ModuleTrailer));
    }
    let mut digester = Digester::new(data.digests());
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < object_bytes {
        let wanted = usize::try_from(object_bytes - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        if source.read_at(at, &mut chunk[..wanted])? < wanted {
            return Err(Fault::Unread);
        }
        digester.update(&chunk[..wanted]);
        at += wanted as u64;
    }
    let digests = digester.finish();
    let content = Content { content_type: None, digest: &|algorithm| digests.of(algorithm).map(<[u8]>::to_vec), part: Part::File };
    Ok(vec![data.facts(&content)?])
}
