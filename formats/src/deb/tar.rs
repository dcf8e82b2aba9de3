//! A tar archive as dpkg reads it: old, ustar and GNU headers, GNU long names; no pax headers, no sparse or multi-volume files,
//! which dpkg refuses. Headers come from the `tar` crate in its raw manner, so that nothing is understood here that dpkg would
//! not understand.

use std::io::{self, Read};

use ::tar::{Archive, Entry, EntryType};

use super::Problem;
use crate::dpkg::{PATH_BYTES_MAX, relative_path};

/// Entries of an archive, folders and long names included; the largest packages have some ten thousand.
pub(super) const ENTRIES_MAX: usize = 1 << 20;

/// Bytes of all paths of an archive together.
pub(super) const PATHS_BYTES_MAX: usize = 128 << 20;

/// What an entry puts in place.
pub(super) enum Item<'e, 'a, R: Read> {
    /// A regular file; its content is read from the entry.
    File { path: Vec<u8>, mode: u32, size: u64, content: &'e mut Entry<'a, R> },
    /// Another name for a file that came before.
    HardLink { path: Vec<u8>, target: Vec<u8> },
    /// A symbolic link, folder, device or FIFO.
    Other { path: Vec<u8> },
}

/// Gives every entry to `take`, in the archive's order.
pub(super) fn for_each<R: Read>(reader: R, mut take: impl FnMut(Item<'_, '_, R>) -> Result<(), Problem>) -> Result<(), Problem> {
    let mut archive = Archive::new(reader);
    let (mut long_name, mut long_link) = (None, None);
    let (mut entries, mut path_bytes) = (0usize, 0usize);
    for entry in archive.entries().map_err(Problem::Io)?.raw(true) {
        let mut entry = entry.map_err(Problem::Io)?;
        entries += 1;
        if entries > ENTRIES_MAX || path_bytes > PATHS_BYTES_MAX {
            return Err(Problem::TooMany);
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => long_name = Some(long(&mut entry)?),
            EntryType::GNULongLink => long_link = Some(long(&mut entry)?),
            _ => {
                let size = entry.header().entry_size().map_err(Problem::Io)?;
                let name = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                let link = long_link.take().or_else(|| entry.header().link_name_bytes().map(std::borrow::Cow::into_owned));
                // Old archives mark a folder by its name alone.
                let kind = if kind == EntryType::Regular && name.ends_with(b"/") { EntryType::Directory } else { kind };
                // SECURITY: dpkg reads no content behind these, so what stands there would be headers to it and content to others.
                if size > 0 && !kind.is_file() {
                    return Err(Problem::Tar("content where dpkg expects none"));
                }
                let path = relative_path(&name).map_err(|_| Problem::Path)?.to_vec();
                path_bytes += path.len();
                match kind {
                    EntryType::Regular => {
                        let mode = entry.header().mode().map_err(Problem::Io)?;
                        take(Item::File { path: named(path)?, mode, size, content: &mut entry })?;
                    }
                    EntryType::Link => {
                        let target = link.ok_or(Problem::Path)?;
                        let target = relative_path(&target).map_err(|_| Problem::Path)?.to_vec();
                        take(Item::HardLink { path: named(path)?, target: named(target)? })?;
                    }
                    EntryType::Directory => take(Item::Other { path })?,
                    EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo => {
                        take(Item::Other { path: named(path)? })?;
                    }
                    EntryType::XHeader | EntryType::XGlobalHeader => return Err(Problem::Tar("a pax header, which dpkg refuses")),
                    EntryType::GNUSparse => return Err(Problem::Tar("a sparse file, which dpkg refuses")),
                    _ => return Err(Problem::Tar("an entry of a kind that dpkg refuses")),
                }
            }
        }
    }
    Ok(())
}

/// Only folders may be the root itself.
fn named(path: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if path.is_empty() { Err(Problem::Path) } else { Ok(path) }
}

/// The content of an entry that carries a name for the next one.
fn long(entry: &mut impl Read) -> Result<Vec<u8>, Problem> {
    let mut name = Vec::new();
    // The name's NUL, and one byte more to see that it ends.
    entry.take(PATH_BYTES_MAX as u64 + 8).read_to_end(&mut name).map_err(Problem::Io)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    name.truncate(end);
    if name.len() > PATH_BYTES_MAX {
        return Err(Problem::Path);
    }
    Ok(name)
}

/// Reads a file's content piece by piece; an entry that ends before its size is no file.
pub(super) fn read_content(content: &mut impl Read, size: u64, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> Result<(), Problem> {
    let mut read = 0;
    loop {
        match content.read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                take(&buffer[..count]);
                read += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Problem::Io(error)),
        }
    }
    if read == size { Ok(()) } else { Err(Problem::Tar("a file that is cut short")) }
}
