//! Signed JARs: a manifest with a digest of every entry, signature files with the manifest's digest, and PKCS#7 structures over those.
//!
//! Stricter than the JDK: a signature counts when it speaks of the whole manifest, and the manifest of every entry but those that
//! are the signature. What `java` would load from an archive is then what was signed, whatever it holds.

mod archive;
mod manifest;

use std::collections::HashMap;
use std::io::Read;

use archive::{Archive, Entry};
use manifest::{Attributes, Manifest};

use super::cms::{Content, Signed, SignedData};
use super::digest::{DigestAlgorithm, Digester};
use super::fault::{Fault, Part};
use super::{SIGNED_DATA_BYTES_MAX, SIGNERS_MAX};
use crate::source::Source;

/// Bytes of a manifest or a signature file, inflated.
const MANIFEST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of all entries together, inflated; what a zip bomb can cost.
const INFLATED_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Bytes digested at a time.
const CHUNK_BYTES: usize = 64 * 1024;

const FOLDER: &[u8] = b"META-INF/";

/// What a name in `META-INF` says of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Manifest,
    /// A signature file, with its name up to the suffix.
    SignatureFile(Vec<u8>),
    /// The structure that signs the signature file of that name.
    Block(Vec<u8>),
    /// To be covered like any other.
    Content,
}

impl Role {
    /// Without case, as the JDK has it. Files named `SIG-*`, which it lets be too, are content here.
    fn of(name: &[u8]) -> Self {
        let name = name.to_ascii_uppercase();
        let Some(file) = name.strip_prefix(FOLDER).filter(|file| !file.contains(&b'/')) else { return Self::Content };
        let stem = |suffix: &[u8]| file.strip_suffix(suffix).map(<[u8]>::to_vec);
        if file == b"MANIFEST.MF" {
            Self::Manifest
        } else if let Some(stem) = stem(b".SF") {
            Self::SignatureFile(stem)
        } else {
            [&b".RSA"[..], b".EC", b".DSA"].into_iter().find_map(stem).map_or(Self::Content, Self::Block)
        }
    }
}

pub(super) fn read(source: &mut impl Source) -> Result<Vec<Signed>, Fault> {
    let archive = Archive::read(source)?;
    let pairs = pairs(&archive)?;
    if pairs.is_empty() {
        return Err(Fault::Unsigned);
    }
    let mut manifests = archive.entries.iter().filter(|entry| Role::of(&entry.name) == Role::Manifest);
    let manifest = manifests.next().ok_or(Fault::Malformed(Part::Manifest))?;
    if manifests.next().is_some() {
        return Err(Fault::Ambiguous(Part::Manifest));
    }
    let manifest = inflate(source, manifest, MANIFEST_BYTES_MAX, Part::Manifest)?;
    let coverage = covers(source, &archive, &Manifest::read(&manifest, Part::Manifest)?);
    if coverage == Err(Fault::Unread) {
        return Err(Fault::Unread);
    }
    let mut fault = Fault::Malformed(Part::SignedData);
    let mut all = Vec::new();
    for (file, block) in pairs {
        match signed(source, file, block, &manifest, coverage) {
            Ok(signed) => all.push(signed),
            Err(found) => fault = found,
        }
    }
    if all.is_empty() { Err(fault) } else { Ok(all) }
}

/// Signature files with the structures that sign them; either without the other is nobody's word.
///
/// PERF: every name is looked at once. An archive may list 65,535 of them, and looking at all of them again for each would take minutes.
fn pairs(archive: &Archive) -> Result<Vec<(&Entry, &Entry)>, Fault> {
    let (mut files, mut blocks) = (HashMap::new(), Vec::new());
    for entry in &archive.entries {
        match Role::of(&entry.name) {
            Role::SignatureFile(stem) => files.entry(stem).or_insert_with(Vec::new).push(entry),
            Role::Block(_) if blocks.len() == SIGNERS_MAX => return Err(Fault::TooLarge(Part::SignatureFile)),
            Role::Block(stem) => blocks.push((stem, entry)),
            Role::Manifest | Role::Content => {}
        }
    }
    let mut pairs = Vec::new();
    for (stem, block) in blocks {
        match files.get(&stem).map(Vec::as_slice) {
            None => {}
            Some([file]) => pairs.push((*file, block)),
            Some(_) => return Err(Fault::Ambiguous(Part::SignatureFile)),
        }
    }
    Ok(pairs)
}

/// Whether the manifest has the right digest of everything it has to speak of.
fn covers(source: &mut impl Source, archive: &Archive, manifest: &Manifest) -> Result<(), Fault> {
    let mut left = INFLATED_BYTES_MAX;
    for entry in &archive.entries {
        if Role::of(&entry.name) != Role::Content || entry.is_folder() {
            continue;
        }
        left = left.checked_sub(entry.size).ok_or(Fault::TooLarge(Part::Archive))?;
        let attributes = manifest.entries.get(&entry.name).ok_or(Fault::Incomplete(Part::Archive))?;
        let (algorithm, wanted) = attributes.digest("-Digest")?.ok_or(Fault::Incomplete(Part::Archive))?;
        if digest(source, entry, algorithm)? != wanted {
            return Err(Fault::Altered(Part::Archive));
        }
    }
    Ok(())
}

fn signed(source: &mut impl Source, file: &Entry, block: &Entry, manifest: &[u8], coverage: Result<(), Fault>) -> Result<Signed, Fault> {
    let file = inflate(source, file, MANIFEST_BYTES_MAX, Part::SignatureFile)?;
    let block = inflate(source, block, SIGNED_DATA_BYTES_MAX as u64, Part::SignedData)?;
    let (data, rest) = SignedData::read(&block)?;
    if !rest.is_empty() {
        return Err(Fault::Malformed(Part::SignedData));
    }
    let content =
        Content { content_type: Some(super::oid::DATA), digest: &|algorithm| Some(algorithm.digest(&file)), part: Part::SignatureFile };
    let mut signed = data.facts(&content)?;
    let speaks_of_manifest = Manifest::read(&file, Part::SignatureFile).and_then(|file| speaks_of(&file.main, manifest));
    if let Some(fault) = speaks_of_manifest.and(coverage).err() {
        signed.signers.iter_mut().for_each(|signer| signer.fault = signer.fault.or(Some(fault)));
    }
    Ok(signed)
}

fn speaks_of(file: &Attributes, manifest: &[u8]) -> Result<(), Fault> {
    let (algorithm, wanted) = file.digest("-Digest-Manifest")?.ok_or(Fault::Unsupported(Part::SignatureFile))?;
    if algorithm.digest(manifest) == wanted { Ok(()) } else { Err(Fault::Altered(Part::Manifest)) }
}

fn inflate(source: &mut impl Source, entry: &Entry, bytes_max: u64, part: Part) -> Result<Vec<u8>, Fault> {
    if entry.size > bytes_max {
        return Err(Fault::TooLarge(part));
    }
    let mut bytes = Vec::new();
    // One more than there should be, so that an entry that goes on is noticed.
    entry.open(source).take(entry.size + 1).read_to_end(&mut bytes).map_err(|error| archive::fault(&error))?;
    if bytes.len() as u64 == entry.size { Ok(bytes) } else { Err(Fault::Malformed(Part::Archive)) }
}

fn digest(source: &mut impl Source, entry: &Entry, algorithm: DigestAlgorithm) -> Result<Vec<u8>, Fault> {
    let mut digester = Digester::new([algorithm]);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut content = entry.open(source).take(entry.size + 1);
    let mut total = 0;
    loop {
        let count = content.read(&mut chunk).map_err(|error| archive::fault(&error))?;
        if count == 0 {
            break;
        }
        total += count as u64;
        digester.update(&chunk[..count]);
    }
    if total != entry.size {
        return Err(Fault::Malformed(Part::Archive));
    }
    Ok(digester.finish().of(algorithm).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_signs_is_not_content() {
        assert_eq!(Role::of(b"meta-inf/Manifest.mf"), Role::Manifest);
        assert_eq!(Role::of(b"META-INF/SITE.sf"), Role::SignatureFile(b"SITE".to_vec()));
        assert_eq!(Role::of(b"META-INF/site.EC"), Role::Block(b"SITE".to_vec()));
        for content in [&b"META-INF/services/x.SF"[..], b"META-INF/INDEX.LIST", b"META-INF/SIG-X", b"Main.class", b"x/META-INF/A.RSA"] {
            assert_eq!(Role::of(content), Role::Content, "{}", content.escape_ascii());
        }
    }
}
