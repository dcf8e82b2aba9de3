//! `data.tar`: the files a package puts in place.

use std::collections::HashMap;
use std::io::Read;

use doorward_policy::{PathBytes, Sha256};
use sha2::Digest as _;

use super::tar::{Item, for_each, read_content};
use super::{PackagedFile, Problem};
use crate::{FIRST_BYTES, may_be_candidate, named_like_compressed_module, named_like_jar};

const BUFFER_BYTES: usize = 64 * 1024;

/// What the archive brought to a path.
enum Brought {
    /// A file that cannot be executed or loaded.
    Plain,
    /// One that can, by its place in the list.
    Candidate(usize),
    /// No file.
    Other,
}

/// Candidates in the archive's order, and the number of other regular files.
pub(super) fn read(reader: impl Read) -> Result<(Vec<PackagedFile>, u64), Problem> {
    let mut brought: HashMap<Vec<u8>, Brought> = HashMap::new();
    let (mut files, mut others) = (Vec::<PackagedFile>::new(), 0u64);
    let mut buffer = vec![0; BUFFER_BYTES];
    for_each(reader, |item| {
        let (path, what) = match item {
            Item::Other { path } => (path, Brought::Other),
            Item::File { path, mode, size, content } => {
                let (is_candidate, sha256) = digest(&path, size, content, &mut buffer)?;
                let what = if is_candidate {
                    files.push(PackagedFile { path: PathBytes::new(path.clone()), mode, size, sha256 });
                    Brought::Candidate(files.len() - 1)
                } else {
                    others += 1;
                    Brought::Plain
                };
                (path, what)
            }
            Item::HardLink { path, target } => {
                // dpkg may link to what lay there before, too; of that the archive proves nothing.
                let what = match brought.get(&target) {
                    Some(Brought::Candidate(at)) => {
                        let linked = PackagedFile { path: PathBytes::new(path.clone()), ..files[*at].clone() };
                        files.push(linked);
                        Brought::Candidate(files.len() - 1)
                    }
                    _ => Brought::Plain,
                };
                (path, what)
            }
        };
        let is_file = !matches!(what, Brought::Other);
        match brought.insert(path, what) {
            // Folders may be named again and again.
            None => Ok(()),
            Some(Brought::Other) if !is_file => Ok(()),
            Some(_) => Err(Problem::Duplicate),
        }
    })?;
    Ok((files, others))
}

/// Whether the content can be executed or loaded, and its digest.
fn digest(path: &[u8], size: u64, content: &mut impl Read, buffer: &mut [u8]) -> Result<(bool, Sha256), Problem> {
    let mut first = Vec::with_capacity(FIRST_BYTES);
    let mut hasher = sha2::Sha256::new();
    read_content(content, size, buffer, |bytes| {
        let missing = FIRST_BYTES - first.len();
        first.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        hasher.update(bytes);
    })?;
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let is_candidate = may_be_candidate(&first) || named_like_jar(name) || named_like_compressed_module(name);
    Ok((is_candidate, Sha256::new(hasher.finalize().into())))
}
