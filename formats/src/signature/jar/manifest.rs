//! The text format of manifests and signature files.

use std::collections::HashMap;

use data_encoding::BASE64;

use crate::signature::digest::DigestAlgorithm;
use crate::signature::fault::{Fault, Part};

/// Sections of one file.
const SECTIONS_MAX: usize = 65_536;

/// Attributes of one section.
const ATTRIBUTES_MAX: usize = 256;

/// One section's attributes, as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<(String, Vec<u8>)>);

/// A parsed file.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// The first section.
    pub(super) main: Attributes,
    /// The others, by the entry they name.
    pub(super) entries: HashMap<Vec<u8>, Attributes>,
}

impl Manifest {
    pub(super) fn read(text: &[u8], part: Part) -> Result<Self, Fault> {
        let malformed = Fault::Malformed(part);
        let mut manifest = Self::default();
        let mut section = Attributes::default();
        let mut is_first = true;
        for line in unfolded(text).chain([Vec::new()]) {
            if !line.is_empty() {
                section.add(&line, part)?;
                continue;
            }
            let done = std::mem::take(&mut section);
            if is_first {
                manifest.main = done;
                is_first = false;
            } else if !done.0.is_empty() {
                // SECURITY: readers differ in which of two sections for one name they believe.
                let name = done.0.first().filter(|(key, _)| key == "name").ok_or(malformed)?.1.clone();
                if manifest.entries.len() == SECTIONS_MAX {
                    return Err(Fault::TooLarge(part));
                }
                if manifest.entries.insert(name, done).is_some() {
                    return Err(Fault::Ambiguous(part));
                }
            }
        }
        Ok(manifest)
    }
}

impl Attributes {
    fn add(&mut self, line: &[u8], part: Part) -> Result<(), Fault> {
        let malformed = Fault::Malformed(part);
        let colon = line.windows(2).position(|pair| pair == b": ").ok_or(malformed)?;
        let key = std::str::from_utf8(&line[..colon]).map_err(|_| malformed)?.to_ascii_lowercase();
        if self.0.len() == ATTRIBUTES_MAX {
            return Err(Fault::TooLarge(part));
        }
        if self.0.iter().any(|(known, _)| *known == key) {
            return Err(Fault::Ambiguous(part));
        }
        self.0.push((key, line[colon + 2..].to_vec()));
        Ok(())
    }

    /// The strongest digest that stands under a name with this suffix; an error when all there are prove nothing.
    pub(super) fn digest(&self, suffix: &str) -> Result<Option<(DigestAlgorithm, Vec<u8>)>, Fault> {
        let suffix = suffix.to_ascii_lowercase();
        let mut found = None;
        let mut is_weak = false;
        for (key, value) in &self.0 {
            let Some(algorithm) = key.strip_suffix(&suffix) else { continue };
            let algorithm = match algorithm {
                "sha-256" => DigestAlgorithm::Sha256,
                "sha-384" => DigestAlgorithm::Sha384,
                "sha-512" => DigestAlgorithm::Sha512,
                _ => {
                    is_weak = true;
                    continue;
                }
            };
            let digest = BASE64.decode(value).map_err(|_| Fault::Malformed(Part::Manifest))?;
            if found.as_ref().is_none_or(|(known, _)| *known < algorithm) {
                found = Some((algorithm, digest));
            }
        }
        if found.is_none() && is_weak { Err(Fault::Weak(Part::Manifest)) } else { Ok(found) }
    }
}

/// Lines, ended in any of the three ways, with their continuations (which begin with a space) put behind them.
fn unfolded(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut whole = line(&mut rest).to_vec();
        while !whole.is_empty() && rest.first() == Some(&b' ') {
            whole.extend_from_slice(&line(&mut rest)[1..]);
        }
        Some(whole)
    })
}

fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
    let (line, mut after) = rest.split_at(end);
    if let Some(next) = after.strip_prefix(b"\r\n") {
        after = next;
    } else {
        after = after.get(1..).unwrap_or_default();
    }
    *rest = after;
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, Fault> {
        Manifest::read(text.as_bytes(), Part::Manifest)
    }

    #[test]
    fn long_names_are_put_together_again() {
        let manifest = read("Manifest-Version: 1.0\r\n\r\nName: a/very/lo\r\n ng/name\nSHA-256-Digest: aGVsbG8=\r\n\r\n").unwrap();
        let entry = &manifest.entries[&b"a/very/long/name"[..]];
        assert_eq!(entry.digest("-Digest").unwrap(), Some((DigestAlgorithm::Sha256, b"hello".to_vec())));
        assert_eq!(manifest.main.digest("-Digest").unwrap(), None);
    }

    #[test]
    fn weak_digests_count_for_nothing_and_strong_ones_beside_them_do() {
        let manifest =
            read("A: 1\n\nName: a\nSHA1-Digest: aGVsbG8=\n\nName: b\nSHA1-Digest: aGVsbG8=\nSHA-512-Digest: aGVsbG8=\n").unwrap();
        assert_eq!(manifest.entries[&b"a"[..]].digest("-Digest"), Err(Fault::Weak(Part::Manifest)));
        assert_eq!(manifest.entries[&b"b"[..]].digest("-Digest").unwrap().unwrap().0, DigestAlgorithm::Sha512);
    }

    #[test]
    fn two_words_on_one_thing_are_refused() {
        assert_eq!(read("A: 1\n\nName: a\n\nName: a\n").unwrap_err(), Fault::Ambiguous(Part::Manifest));
        assert_eq!(read("A: 1\na: 2\n").unwrap_err(), Fault::Ambiguous(Part::Manifest));
        assert_eq!(read("A: 1\n\nX: a\n").unwrap_err(), Fault::Malformed(Part::Manifest));
    }
}
